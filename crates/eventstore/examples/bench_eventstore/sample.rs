//! Events as a service would write them: some 250 bytes of content, 150 of circumstances.

use eventstore::{Metadata, NewEvent, StreamKey};
use serde_json::json;
use uuid::Uuid;

const TENANTS: usize = 16;

/// A stream of one of a few tenants.
pub(crate) fn stream(name: &str, number: usize) -> StreamKey {
    let tenant = format!("tenant-{:02}", number % TENANTS);
    StreamKey::new(tenant, "order", format!("{name}-{number}"))
}

pub(crate) fn event(number: u64) -> NewEvent {
    let request = Uuid::now_v7();
    NewEvent {
        metadata: Metadata {
            correlation_id: Some(request),
            actor: Some(format!(
                "spiffe://example.org/ns/shop/sa/user-{}",
                number % 100
            )),
            trace_id: Some(request.simple().to_string()),
            ..Metadata::default()
        },
        ..NewEvent::new(
            ["OrderPlaced", "OrderPaid", "OrderShipped"][number as usize % 3],
            1,
            json!({
                "order": number,
                "customer": format!("customer-{}", number % 1000),
                "address": { "city": "Springfield", "street": "Evergreen Terrace 742", "zip": "58008" },
                "lines": [
                    { "article": "A-1047", "count": 2, "price": 12.5 },
                    { "article": "B-2210", "count": 1, "price": 99.0 },
                ],
                "total": 124.0,
                "paid": number.is_multiple_of(2),
            }),
        )
    }
}
