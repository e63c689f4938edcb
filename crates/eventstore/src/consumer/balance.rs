//! Which share of the partitions is whose, without anybody who decides: each consumer knows its place
//! among the live ones and takes what falls to it.

/// Number of partitions that fall to the member `own` of `members`; 0 if it is not among them.
///
/// The shares of all members add up to `partitions` and differ by one at most.
pub(super) fn share(partitions: u32, members: &[String], own: &str) -> u32 {
    let mut sorted: Vec<&str> = members.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    sorted.dedup();
    let Some(place) = sorted.iter().position(|member| *member == own) else {
        return 0;
    };
    let count = u32::try_from(sorted.len()).unwrap_or(u32::MAX);
    let place = u32::try_from(place).unwrap_or(u32::MAX);
    partitions / count + u32::from(place < partitions % count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::share;

    fn members(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("member-{n}")).collect()
    }

    #[test]
    fn who_is_not_a_member_gets_nothing() {
        assert_eq!(share(8, &members(2), "stranger"), 0);
        assert_eq!(share(8, &[], "stranger"), 0);
    }

    proptest! {
        #[test]
        fn the_shares_add_up_and_are_even(partitions in 1_u32..300, count in 1_usize..40) {
            let members = members(count);
            let shares: Vec<u32> = members
                .iter()
                .map(|own| share(partitions, &members, own))
                .collect();
            prop_assert_eq!(shares.iter().sum::<u32>(), partitions);
            let (least, most) = (shares.iter().min(), shares.iter().max());
            prop_assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1));
        }
    }
}
