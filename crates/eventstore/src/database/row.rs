//! A row of either database, read by the places of its columns.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row as _, Type};
use time::OffsetDateTime;
use uuid::Uuid;

/// From 1970 to 2000, where PostgreSQL begins to count.
const MICROSECONDS_TO_2000: i64 = 946_684_800_000_000;

/// A row; whole numbers are `bigint` on PostgreSQL.
#[derive(Debug)]
pub(crate) enum Row {
    Postgres(PgRow),
    Sqlite(SqliteRow),
}

impl Row {
    fn get<T>(&self, column: usize) -> Result<T, sqlx::Error>
    where
        T: for<'r> Decode<'r, sqlx::Postgres> + Type<sqlx::Postgres>,
        T: for<'r> Decode<'r, sqlx::Sqlite> + Type<sqlx::Sqlite>,
    {
        match self {
            Self::Postgres(row) => row.try_get_unchecked(column),
            Self::Sqlite(row) => row.try_get(column),
        }
    }

    pub(crate) fn int(&self, column: usize) -> Result<i64, sqlx::Error> {
        self.get(column)
    }

    pub(crate) fn optional_int(&self, column: usize) -> Result<Option<i64>, sqlx::Error> {
        self.get(column)
    }

    pub(crate) fn text(&self, column: usize) -> Result<String, sqlx::Error> {
        self.get(column)
    }

    /// JSON as it was written, where it lies in the row: `json` on PostgreSQL, which is sent as the text
    /// that it is, text on SQLite.
    pub(crate) fn json_here(&self, column: usize) -> Result<&str, sqlx::Error> {
        match self {
            Self::Postgres(row) => row.try_get_unchecked(column),
            Self::Sqlite(row) => row.try_get(column),
        }
    }

    /// Bytes that a text or bytes take, without a look at them; none if there are none.
    pub(crate) fn size(&self, column: usize) -> usize {
        let bytes: Result<&[u8], _> = match self {
            Self::Postgres(row) => row.try_get_unchecked(column),
            Self::Sqlite(row) => row.try_get_unchecked(column),
        };
        bytes.map_or(0, <[u8]>::len)
    }

    /// The bytes where they lie in the row.
    pub(crate) fn bytes_here(&self, column: usize) -> Result<&[u8], sqlx::Error> {
        match self {
            Self::Postgres(row) => row.try_get_unchecked(column),
            Self::Sqlite(row) => row.try_get(column),
        }
    }

    pub(crate) fn optional_text(&self, column: usize) -> Result<Option<String>, sqlx::Error> {
        self.get(column)
    }

    pub(crate) fn bytes(&self, column: usize) -> Result<Vec<u8>, sqlx::Error> {
        self.get(column)
    }

    pub(crate) fn flag(&self, column: usize) -> Result<bool, sqlx::Error> {
        self.get(column)
    }

    /// `uuid` on PostgreSQL, hyphenated text on SQLite.
    pub(crate) fn uuid(&self, column: usize) -> Result<Uuid, sqlx::Error> {
        match self {
            Self::Postgres(row) => row.try_get_unchecked(column),
            Self::Sqlite(row) => Uuid::parse_str(row.try_get(column)?)
                .map_err(|error| sqlx::Error::Decode(error.into())),
        }
    }

    /// `timestamptz` on PostgreSQL, microseconds since 1970 on SQLite.
    pub(crate) fn time(&self, column: usize) -> Result<OffsetDateTime, sqlx::Error> {
        match self {
            Self::Postgres(row) => {
                // Not by sqlx's own decoding, which panics at `infinity` and the like.
                let since_2000: i64 = row.try_get_unchecked(column)?;
                from_microseconds(since_2000.saturating_add(MICROSECONDS_TO_2000))
            }
            Self::Sqlite(row) => {
                let microseconds: i64 = row.try_get(column)?;
                from_microseconds(microseconds)
            }
        }
    }

    /// Microseconds since 1970, as the younger tables have it on both databases.
    pub(crate) fn microseconds(&self, column: usize) -> Result<OffsetDateTime, sqlx::Error> {
        from_microseconds(self.int(column)?)
    }
}

pub(crate) fn from_microseconds(microseconds: i64) -> Result<OffsetDateTime, sqlx::Error> {
    let (seconds, rest) = (
        microseconds.div_euclid(1_000_000),
        microseconds.rem_euclid(1_000_000),
    );
    let time = OffsetDateTime::from_unix_timestamp(seconds);
    let time = time.and_then(|time| time.replace_microsecond(rest as u32));
    time.map_err(|error| {
        let message = format!("{microseconds} microseconds after 1970 are no time: {error}");
        sqlx::Error::Decode(message.into())
    })
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::from_microseconds;
    use crate::chain::microseconds;

    #[test]
    fn microseconds_tell_a_time_before_and_after_1970() {
        for (number, time) in [
            (0, datetime!(1970-01-01 00:00 UTC)),
            (-1, datetime!(1969-12-31 23:59:59.999_999 UTC)),
            (
                1_700_000_000_000_001,
                datetime!(2023-11-14 22:13:20.000_001 UTC),
            ),
        ] {
            assert_eq!(from_microseconds(number).unwrap(), time);
            assert_eq!(microseconds(time), number);
        }
        assert_eq!(
            microseconds(datetime!(1969-12-31 23:59:59.999_999_9 UTC)),
            -1
        );
        assert!(from_microseconds(i64::MAX).is_err());
    }
}
