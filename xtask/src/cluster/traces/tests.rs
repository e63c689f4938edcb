use serde_json::json;

use super::*;

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn traces(links: &[&str], mounts: &[&str]) -> Traces {
    Traces(BTreeMap::from([
        ("links", set(links)),
        ("mounts", set(mounts)),
    ]))
}

#[test]
fn the_same_machine_has_no_differences() {
    let before = traces(&["lo", "eth0"], &["/"]);
    assert_eq!(before.differences(&before.clone()), [""; 0]);
    assert!(before.kinds_added(&before.clone()).is_empty());
}

#[test]
fn what_came_and_what_went_is_named() {
    let before = traces(&["lo", "eth0"], &["/"]);
    let after = traces(&["lo", "signet0"], &["/", "/x"]);
    assert_eq!(
        before.differences(&after),
        [
            "links: new: signet0",
            "links: gone: eth0",
            "mounts: new: /x"
        ]
    );
    assert_eq!(
        before.kinds_added(&after),
        BTreeSet::from(["links", "mounts"])
    );
    assert_eq!(after.kinds_added(&traces(&["lo"], &[])), BTreeSet::new());
}

#[test]
fn a_kind_that_only_one_of_them_has_counts() {
    let known = traces(&["lo"], &[]);
    let nothing = Traces::default();
    assert_eq!(nothing.differences(&known), ["links: new: lo"]);
    assert_eq!(known.differences(&nothing), ["links: gone: lo"]);
    assert_eq!(nothing.kinds_added(&known), BTreeSet::from(["links"]));
}

#[test]
fn a_setting_that_changed_is_both_gone_and_new() {
    let settings = |value| Traces(BTreeMap::from([("settings", set(&[value]))]));
    let found = settings("kernel/panic = 0").differences(&settings("kernel/panic = 10"));
    assert_eq!(
        found,
        [
            "settings: new: kernel/panic = 10",
            "settings: gone: kernel/panic = 0"
        ]
    );
}

#[test]
fn the_kernels_tables_are_read() {
    let table = "tmpfs /run tmpfs rw 0 0\nnsfs /run/netns/a nsfs rw 0 0\n";
    assert_eq!(mounts(table), set(&["/run (tmpfs)", "/run/netns/a (nsfs)"]));

    let said = json!([{ "ifname": "signet0", "addr_info": [
        { "local": "10.244.0.1", "prefixlen": 24, "valid_life_time": 7 },
    ] }, { "ifname": "ifb0", "addr_info": [] }]);
    let expected = (
        set(&["ifb0", "signet0"]),
        set(&["10.244.0.1/24 on signet0"]),
    );
    assert_eq!(links(&said), expected);

    let table = "  sl  local_address rem_address   st\n   0: 0100007F:192B 00000000:0000 0A 0\n   \
                 1: 0100007F:1F90 0100007F:0050 01 0\n";
    assert_eq!(listening(table).collect::<Vec<_>>(), [6443]);
}

#[test]
fn a_route_that_counts_down_stays_the_same() {
    let route = "default via fe80::1 dev eth0 proto ra expires 1799sec pref medium";
    assert_eq!(
        without_expiry(route),
        "default via fe80::1 dev eth0 proto ra pref medium"
    );
    assert_eq!(without_expiry("default dev x expires"), "default dev x");
}

#[test]
fn a_rule_is_told_with_its_table_and_chain() {
    let ruleset = "table ip a {\n\tchain c {\n\t\ttcp dport 1 drop\n\t}\n}\ntable ip6 a {\n}\n";
    let expected = [
        "table ip a",
        "table ip a, chain c",
        "table ip a, chain c, tcp dport 1 drop",
        "table ip6 a",
    ];
    assert_eq!(rules(ruleset), set(&expected));
}

#[test]
fn servers_are_told_from_clients() {
    let shelf = Path::new("/cache/components");
    assert!(is_server(Path::new("/cache/components/node-1/node"), shelf));
    assert!(!is_server(
        Path::new("/cache/components/kubectl-1/kubectl"),
        shelf
    ));
    assert!(!is_server(Path::new("/usr/bin/etcd-1/etcd"), shelf));

    let root = Path::new("/var/lib/signet-cluster");
    let shim = Path::new("/usr/bin/containerd-shim-runc-v2");
    let ours = "containerd-shim-runc-v2 -address /var/lib/signet-cluster/run/containerd.sock";
    assert!(is_of_containerd(shim, ours, root));
    assert!(!is_of_containerd(
        shim,
        "containerd-shim-runc-v2 -address /run/x.sock",
        root
    ));
    assert!(!is_of_containerd(Path::new("/usr/bin/less"), ours, root));
}
