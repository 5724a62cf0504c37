//! Addresses and the time: by DHCP, by configuration, from a stand-in for a time server.

use std::net::UdpSocket;

use fs_err as fs;

use super::machine::{Plan, value};
use super::server::Server;
use super::{APP, SUM};

/// Prints the addresses and, as a number of its own, their sum.
const ADDRESSES: &str = r#"
for i in $(busybox ip -4 -o addr show scope global | busybox awk '{print $4}' | busybox sort); do
  IFS=./; set -- $i; unset IFS; echo "app: $i is $((($1 << 24) + ($2 << 16) + ($3 << 8) + $4))"
done
"#;

fn number(address: [u8; 4]) -> String {
    format!("is {}", u32::from_be_bytes(address))
}

#[test]
fn dhcp_gives_an_address_and_gets_it_back() {
    let directory = tempfile::tempdir().unwrap();
    let dump = directory.path().join("dump");
    let app = format!(
        "trap 'echo \"app: stops $((6 * 7))\"; exit 0' TERM\n{APP}{ADDRESSES}\
         busybox ip route | busybox sed 's/^/app: /'; cat /etc/resolv.conf /run/vmimage/lease.eth0\n\
         echo \"app: all $((3 * 5))\"\nbusybox sleep 1000 & wait\n"
    );
    let filter = format!("-object filter-dump,id=f0,netdev=n0,file={}", dump.display());
    let mut machine = Plan::new(&app).network().with(&filter).start();
    let serial = machine.wait("app: all 15");
    assert!(serial.contains(SUM), "{serial}");
    assert!(serial.contains(&format!("app: 10.0.2.15/24 {}", number([10, 0, 2, 15]))), "{serial}");
    assert!(serial.contains("app: default via 10.0.2.2 dev eth0"), "{serial}");
    assert!(serial.contains("\nnameserver 10.0.2.3\n"), "{serial}");
    assert!(serial.contains("\nserver 10.0.2.2\nroute 0.0.0.0/0 10.0.2.2\n"), "{serial}");
    println!(
        "with DHCP: ready after {} ms, modules {} ms, resident {} KiB",
        value(&serial, "info ready", "ms"),
        value(&serial, "info ready", "modules-ms"),
        value(&serial, "info ready", "rss-kib"),
    );
    machine.command("system_powerdown");
    let (status, serial) = machine.off();
    assert!(status.success(), "{serial}");
    assert!(serial.contains("info stop why=power-button end=power-off"), "{serial}");
    assert!(serial.contains("app: stops 42"), "{serial}");
    assert!(serial.contains("info released interface=eth0 address=10.0.2.15"), "{serial}");
    assert!(serial.contains("info end by=power-off"), "{serial}");
    // DHCP's message types in what was on the wire: cookie, then option 53.
    let dump = fs::read(dump).unwrap();
    let kinds = dump.windows(7).filter(|window| window[..6] == [99, 130, 83, 99, 53, 1]);
    // A DISCOVER may be said twice: as soon as the card is there, and when its link is up.
    let mut seen = Vec::new();
    kinds.map(|window| window[6]).for_each(|kind| {
        if !seen.contains(&kind) {
            seen.push(kind);
        }
    });
    assert_eq!(seen, [1, 2, 3, 5, 7]);
}

#[test]
fn two_cards_get_an_address_each() {
    let app = format!("{ADDRESSES}echo \"app: all $((3 * 5))\"\nbusybox sleep 1000\n");
    let plan = Plan::new(&app).network().with(
        "-netdev user,id=n1,net=10.7.8.0/24,dhcpstart=10.7.8.77 -device virtio-net-pci,netdev=n1",
    );
    let serial = plan.start().wait("app: all 15");
    assert!(serial.contains(&number([10, 0, 2, 15])), "{serial}");
    assert!(serial.contains(&format!("app: 10.7.8.77/24 {}", number([10, 7, 8, 77]))), "{serial}");
}

#[test]
fn a_silent_network_delays_the_app_and_does_not_stop_it() {
    // A hub with nobody else on it.
    let mut plan = Plan::new(APP)
        .with("-no-reboot -netdev hubport,id=n0,hubid=1 -device virtio-net-pci,netdev=n0");
    plan.config.dhcp_wait = 1;
    let (_, serial) = plan.start().off();
    assert!(serial.contains("warn network-late waited-s=1"), "{serial}");
    assert!(serial.contains(SUM), "{serial}");
}

#[test]
fn static_addresses_need_no_server() {
    let app = format!(
        "{ADDRESSES}busybox ip route | busybox sed 's/^/app: /'; cat /etc/resolv.conf\n\
        busybox ping -c 1 -W 9 10.0.2.2 | busybox grep -c 'bytes from' | busybox sed 's/^/app: pings /'\n"
    );
    let mut plan = Plan::new(&app).with("-no-reboot -netdev user,id=n0");
    plan = plan.with("-device virtio-net-pci,netdev=n0,mac=52:54:00:aa:bb:cc");
    plan.config.address = vec!["52:54:00:aa:bb:cc=10.0.2.99/24".parse().unwrap()];
    plan.config.route = vec!["eth0=0.0.0.0/0,10.0.2.2".parse().unwrap()];
    plan.config.dns = vec!["10.0.2.3".parse().unwrap()];
    plan.config.search = vec!["example.org".into()];
    let (_, serial) = plan.start().off();
    assert!(serial.contains(&number([10, 0, 2, 99])), "{serial}");
    assert!(serial.contains("app: default via 10.0.2.2 dev eth0"), "{serial}");
    assert!(serial.contains("search example.org\nnameserver 10.0.2.3\n"), "{serial}");
    assert!(serial.contains("app: pings 1"), "{serial}");
}

/// Answers one request as a server of stratum 2 whose clock says 2031-02-03 04:05:06 UTC.
fn time_server() -> (u16, std::thread::JoinHandle<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(150))).unwrap();
    let port = socket.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let mut request = [0; 128];
        let (length, from) = socket.recv_from(&mut request).unwrap();
        assert_eq!((length, request[0]), (48, 0x23));
        let mut answer = [0; 48];
        answer[..2].copy_from_slice(&[0x24, 2]);
        answer[24..32].copy_from_slice(&request[40..48]);
        // date -u -d '2031-02-03 04:05:06' +%s is 1927857906; NTP counts from 1900.
        let seconds = (1_927_857_906_u64 + 2_208_988_800) as u32;
        answer[32..36].copy_from_slice(&seconds.to_be_bytes());
        answer[40..44].copy_from_slice(&seconds.to_be_bytes());
        socket.send_to(&answer, from).unwrap();
    });
    (port, thread)
}

#[test]
fn the_clock_is_right_before_the_app_starts() {
    let (port, server) = time_server();
    let mut plan = Plan::new("echo \"app: year $(($(busybox date -u +%Y) + 1000))\"\n");
    plan = plan.network().with("-no-reboot");
    plan.config.ntp = vec![format!("10.0.2.2:{port}").parse().unwrap()];
    plan.config.ntp_wait = 30;
    let (_, serial) = plan.start().off();
    server.join().unwrap();
    assert!(serial.contains("app: year 3031"), "{serial}");
    assert!(serial.contains(&format!("info clock server=10.0.2.2:{port} moved-ms=")), "{serial}");
}

#[test]
fn a_time_server_that_is_not_there_delays_only() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut plan = Plan::new(APP).network().with("-no-reboot");
    plan.config.ntp =
        vec![format!("10.0.2.2:{}", socket.local_addr().unwrap().port()).parse().unwrap()];
    plan.config.ntp_wait = 1;
    let (_, serial) = plan.start().off();
    assert!(serial.contains("warn clock-late waited-s=1") && serial.contains(SUM), "{serial}");
}

#[test]
fn a_lease_is_used_renewed_and_lost() {
    let mut options = vec![1, 4, 255, 255, 255, 0, 51, 4, 0, 0, 0, 10, 26, 2, 0x05, 0x78];
    options.extend(b"\x0c\x05leafy\x0f\x0bexample.org\x06\x04\x0a\x05\x00\x35");
    // RFC 3442: 10.9.0.0/16 through 10.5.0.7, the default through 10.5.0.1; option 3 says other.
    options.extend([121, 12, 16, 10, 9, 10, 5, 0, 7, 0, 10, 5, 0, 1, 3, 4, 10, 5, 0, 99]);
    let server = Server::start(options, 2);
    let mut plan = Plan::new(
        "echo \"app: mtu $(($(cat /sys/class/net/eth0/mtu) * 3)), $(busybox hostname)\"\n\
         busybox ip route | busybox sed 's/^/app: /'; cat /etc/resolv.conf\n\
         while [ \"$(busybox ip -4 -o addr show scope global)\" ]; do busybox sleep 1; done\n\
         echo \"app: no address $((6 * 7))\"\nbusybox sleep 1000\n",
    );
    plan = plan.with(&server.hardware);
    plan.config.sntp = false;
    let mut machine = plan.start();
    // The lease has 10 s: renewed after 5, and once the server is silent, lost.
    let serial = machine.wait("app: no address 42");
    assert!(serial.contains("app: mtu 4200, leafy"), "{serial}");
    assert!(serial.contains("app: default via 10.5.0.1 dev eth0"), "{serial}");
    assert!(serial.contains("app: 10.9.0.0/16 via 10.5.0.7 dev eth0"), "{serial}");
    assert!(!serial.contains("10.5.0.99"), "{serial}");
    assert!(serial.contains("search example.org\nnameserver 10.5.0.53\n"), "{serial}");
    assert!(serial.contains("info renewed interface=eth0 address=10.5.0.66"), "{serial}");
    machine.wait("warn lease-lost interface=eth0");
    let heard = server.heard();
    let own = [10, 5, 0, 66];
    // Asked, renewed by unicast, asked everyone with its address, and from the beginning again.
    assert!(heard.contains(&(3, own, false)) && heard.contains(&(3, own, true)), "{heard:?}");
    let last = |wanted: (u8, [u8; 4], bool)| heard.iter().rposition(|one| *one == wanted);
    assert!(last((1, [0; 4], true)) > last((3, own, true)), "{heard:?}");
}
