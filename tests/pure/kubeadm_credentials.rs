//! Bootstrap tokens, certificate keys and the pin of the CA.

use quorate::cluster::kubeadm::{CertificateKey, Credentials, Token};

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

#[test]
fn credentials_have_kubeadms_form() {
    for _ in 0..200 {
        let new = Credentials::generate().unwrap();
        let token = new.token.secret().expose();
        assert_eq!(&token.parse::<Token>().unwrap(), &new.token);
        assert!(token.starts_with(new.token.id()) && new.token.id().len() == 6);
        assert!(
            new.certificate_key
                .secret()
                .expose()
                .parse::<CertificateKey>()
                .is_ok()
        );
    }
    assert_ne!(
        Credentials::generate().unwrap(),
        Credentials::generate().unwrap()
    );
    for wrong in [
        "",
        "abcdef",
        "abcdef.0123",
        "ABCDEF.0123456789abcdef",
        "abcdef.0123456789abcdeg.",
        "abcdé.0123456789abcdef",
    ] {
        let error = wrong.parse::<Token>().unwrap_err().to_string();
        assert!(wrong.is_empty() || !error.contains(wrong), "{error}");
    }
    assert!(
        "00".parse::<CertificateKey>().is_err()
            && KEY.to_uppercase().parse::<CertificateKey>().is_err()
    );
}
