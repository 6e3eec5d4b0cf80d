use super::*;

fn plain(address: &str) -> Result<Dialer, DialError> {
    Dialer::new(address, &TlsFiles::default())
}

#[test]
fn plain_text_is_spoken_to_this_machine_alone() {
    for address in
        ["http://127.0.0.1:7071", "http://localhost:7071", "http://[::1]:7071", "http://127.9.9.9:1"]
    {
        assert!(plain(address).is_ok(), "{address}");
    }
    for address in ["http://10.0.0.1:7071", "http://control.example:7071", "http://localhost.example:7071"] {
        let error = plain(address).unwrap_err();
        assert!(matches!(error, DialError::Plain(_)), "{address}");
        assert!(error.to_string().contains("https://"));
    }
}

#[test]
fn what_is_no_address_is_refused_with_an_example() {
    for address in ["", "127.0.0.1:7071", "grpc://127.0.0.1:7071", "http://", "not an address"] {
        let error = plain(address).unwrap_err();
        assert!(error.to_string().contains("http://127.0.0.1:7071"), "{address}: {error}");
    }
}

#[test]
fn certificates_for_a_plain_address_are_a_mistake() {
    let files = TlsFiles { ca: Some("ca.pem".into()), ..TlsFiles::default() };
    assert!(matches!(Dialer::new("http://127.0.0.1:7071", &files), Err(DialError::UselessCertificates(_))));
}

#[test]
fn an_unusable_certificate_file_is_named() {
    let files = TlsFiles { ca: Some("/nowhere/ca.pem".into()), ..TlsFiles::default() };
    let error = Dialer::new("https://control.example:7071", &files).unwrap_err();
    assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
}

#[test]
fn waits_double_up_to_half_a_minute_and_jitter_reaches_down_to_the_floor() {
    let mut backoff = Backoff::new();
    let longest: Vec<u128> = (0..11).map(|_| backoff.next(1.0).as_millis()).collect();
    assert_eq!(longest, [200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000, 30000]);
    assert_eq!(backoff.next(0.0), Backoff::FLOOR);
    backoff.reset();
    assert_eq!(backoff.next(1.0).as_millis(), 200);
}
