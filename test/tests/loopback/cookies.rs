//! Connections that their listener keeps in a cookie alone, as it does for all when SYNs flood it.

use nestless_test::fractions::{Fractions, ask, serve};

const COOKIES: &str = "/proc/sys/net/ipv4/tcp_syncookies";
const COUNT: usize = 30;

#[tokio::test]
async fn a_flooded_listener_serves_its_own_fraction_and_the_others() {
    let mut fractions = Fractions::new().await;
    let all = [fractions.join(1).await, fractions.join(1).await, fractions.join(1).await];
    // For every SYN, not only in need.
    all[0].write(COOKIES, "2");
    for (any, address) in
        [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:81", "[::1]:81"), ("[::]:82", "127.0.0.1:82")]
    {
        let serving = serve(all[0].listen(any), "here", all.len() * COUNT);
        for client in &all {
            for number in 0..COUNT {
                let answer = client.connect(address).and_then(|stream| ask(stream, "hello"));
                assert_eq!(answer.unwrap(), "here", "{address}, connection {number} from {}", client.place);
            }
        }
        serving.join().unwrap();
    }
    assert!(cookies(&all[0].read("/proc/thread-self/net/netstat")) >= 9 * COUNT, "they were cookies");
    assert_eq!(fractions.counters(&all[0]).asked, 0, "what is local stays");
}

/// How many came back.
fn cookies(netstat: &str) -> usize {
    let mut rows = netstat.lines().filter(|line| line.starts_with("TcpExt:")).map(str::split_whitespace);
    let (names, counts) = (rows.next().unwrap(), rows.next().unwrap());
    names.zip(counts).find(|(name, _)| *name == "SyncookiesRecv").unwrap().1.parse().unwrap()
}

/// A segment of a connection that is not the listener's is not taken for a cookie.
#[tokio::test]
async fn a_listener_with_cookies_takes_nothing_else() {
    let mut fractions = Fractions::new().await;
    let (one, two) = (fractions.join(1).await, fractions.join(1).await);
    one.write(COOKIES, "2");
    let elsewhere = two.listen("127.0.0.1:80");
    let client = one.connect("127.0.0.1:80").unwrap();
    let serving = std::thread::spawn(move || nestless_test::fractions::greet(&elsewhere, "elsewhere"));
    let own = one.listen("127.0.0.1:80");
    let serving_own = serve(own, "own", 1);
    assert_eq!(ask(one.connect("127.0.0.1:80").unwrap(), "").unwrap(), "own");
    assert_eq!(ask(client, "").unwrap(), "elsewhere");
    serving.join().unwrap();
    serving_own.join().unwrap();
}
