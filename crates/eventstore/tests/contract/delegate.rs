//! What a store of the tests leaves to the one within.

/// The reading methods of [`EventStore`](eventstore::EventStore) that nobody watches. Written as
/// `async_trait` writes them, since it does not look into a macro.
macro_rules! rest {
    ($inner:ident) => {
        fn query<'me, 'query, 'answer>(
            &'me self,
            query: &'query eventstore::EventQuery,
        ) -> futures::future::BoxFuture<'answer, Result<eventstore::EventPage, ReadError>>
        where
            'me: 'answer,
            'query: 'answer,
        {
            self.$inner.query(query)
        }

        fn at_least(&self, position: Position) -> eventstore::View {
            self.$inner.at_least(position)
        }

        fn read_statistics(&self) -> eventstore::ReadStatistics {
            self.$inner.read_statistics()
        }

        fn wait_for<'me, 'answer>(
            &'me self,
            position: Position,
            bound: std::time::Duration,
        ) -> futures::future::BoxFuture<'answer, Result<Position, ReadError>>
        where
            'me: 'answer,
        {
            self.$inner.wait_for(position, bound)
        }

        fn head_watch(&self) -> tokio::sync::watch::Receiver<Position> {
            self.$inner.head_watch()
        }
    };
}

pub(crate) use rest;
