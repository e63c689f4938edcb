//! What every test needs: a database, a central, clients.

pub(crate) mod allocations;
pub(crate) mod central;
pub(crate) mod clients;
pub(crate) mod database;
pub(crate) mod events;
pub(crate) mod process;
pub(crate) mod samples;

pub(crate) use self::{
    central::{Central, Secrets},
    clients::{Answer, eventually, with_bearer},
    database::Database,
    process::Process,
};

/// Makes a test for each store out of `async fn name(database: Database)`.
macro_rules! on_each_store {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::support::Database::sqlite()).await;
            })*
        }
        crate::support::on_postgres!(in postgres: $($name),*);
    };
}
pub(crate) use on_each_store;

/// Makes a test out of `async fn name(database: Database)` for the one store that takes several centrals.
macro_rules! on_postgres {
    ($($name:ident),* $(,)?) => {
        crate::support::on_postgres!(in several_centrals: $($name),*);
    };
    (in $module:ident: $($name:ident),*) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(database) = crate::support::Database::postgres().await {
                    super::$name(database.clone()).await;
                    database.drop().await;
                }
            })*
        }
    };
}
pub(crate) use on_postgres;
