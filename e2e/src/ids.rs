//! Ids that were given out, none of them twice.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

/// A set of ids, kept as disjoint intervals, that refuses what it has.
#[derive(Debug, Default)]
pub struct UniqueIds {
    /// First id → last id.
    intervals: BTreeMap<u64, u64>,
    count: u64,
}

impl UniqueIds {
    /// Ids held.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Adds ids in their text form.
    ///
    /// # Errors
    /// One is not a number, or was there already.
    pub fn add_all<'a>(&mut self, ids: impl IntoIterator<Item = &'a str>) -> Result<()> {
        for id in ids {
            match id.parse() {
                Ok(number) => self.add(number, number)?,
                Err(_) => bail!("{id:?} is not a number"),
            }
        }
        Ok(())
    }

    /// Adds the ids from `first` to `last`, both included.
    ///
    /// # Errors
    /// One of them was there already: it was given out twice.
    pub fn add(&mut self, first: u64, last: u64) -> Result<()> {
        if last < first {
            bail!("{first} to {last} is no interval");
        }
        if let Some((from, to)) = self.intervals.range(..=last).next_back()
            && *to >= first
        {
            bail!("{first} to {last} was given out before, in {from} to {to}");
        }
        self.count += last - first + 1;
        let mut interval = (first, last);
        if let Some((from, to)) = self.intervals.range(..first).next_back()
            && *to + 1 == first
        {
            interval.0 = *from;
        }
        if let Some(to) = last
            .checked_add(1)
            .and_then(|next| self.intervals.remove(&next))
        {
            interval.1 = to;
        }
        self.intervals.insert(interval.0, interval.1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::UniqueIds;

    #[test]
    fn refuses_what_it_has_wherever_it_lies() {
        let mut ids = UniqueIds::default();
        ids.add(10, 19).unwrap();
        ids.add(30, 39).unwrap();
        for (first, last) in [
            (10, 10),
            (19, 19),
            (15, 15),
            (5, 10),
            (19, 25),
            (5, 50),
            (30, 39),
        ] {
            assert!(ids.add(first, last).is_err(), "{first} to {last}");
        }
        assert_eq!(ids.count(), 20);
    }

    #[test]
    fn neighbours_become_one_interval() {
        let mut ids = UniqueIds::default();
        ids.add_all(["3", "1", "2", "5", "4"]).unwrap();
        assert_eq!((ids.count(), ids.intervals.len()), (5, 1));
        assert!(ids.add_all(["4"]).is_err());
    }

    #[test]
    fn takes_numbers_only() {
        assert!(UniqueIds::default().add_all(["one"]).is_err());
    }
}
