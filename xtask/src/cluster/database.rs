//! PostgreSQL beside the cluster, at the node's address, since no image of it can be pulled. It runs
//! among the cluster's daemons and goes with them.

use std::fs;
use std::time::Duration;

use anyhow::Result;

use super::cgroup::Cgroups;
use super::daemon::{self, Daemon, Daemons};
use super::layout::{Layout, NODE_ADDRESS, POD_NETWORK};
use super::pki::write_private;
use crate::postgres::{self, Site};
use crate::progress::Steps;

const NAME: &str = "postgres";

/// The address of a new, empty database that pods reach; starts the server when it does not run.
///
/// # Errors
/// When the server does not answer within a minute.
pub(crate) fn new_database(layout: &Layout, steps: &Steps) -> Result<String> {
    let note = layout.path("database-url");
    if !daemon::alive(layout, NAME) {
        let url = steps.run("PostgreSQL answers at the node's address", || start(layout))?;
        write_private(note.clone(), &url)?;
    }
    postgres::new_database(&fs::read_to_string(&note)?)
}

fn start(layout: &Layout) -> Result<String> {
    let folder = layout.path("postgres");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let site = Site::create(&folder, NODE_ADDRESS, &[POD_NETWORK])?;
    let (program, arguments) = site.server_line()?;
    let mut daemons = Daemons::new(layout, &Cgroups::detect()?);
    daemons.start(Daemon {
        name: NAME,
        program,
        arguments,
    })?;
    daemons.wait(NAME, Duration::from_secs(60), || site.answers())?;
    Ok(site.url("postgres"))
}
