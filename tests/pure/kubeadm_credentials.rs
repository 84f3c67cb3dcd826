//! Bootstrap tokens, certificate keys and the pin of the CA.

use quorate::cluster::kubeadm::{CaCertHash, CertificateError, CertificateKey, Credentials, Token};

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const PIN: &str = "sha256:415741576078542c5ad0628b73206a10588fb50dfda1358d2294798c9af9621c";

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

#[test]
fn the_pin_is_what_openssl_says() {
    // openssl x509 -pubkey -noout -in ca.crt | openssl pkey -pubin -outform der | sha256sum
    let pem = include_str!("../fixtures/ca.crt");
    assert_eq!(CaCertHash::of_pem(pem).unwrap().to_string(), PIN);
    assert_eq!(
        CaCertHash::of_pem(&format!("words before\n{pem}{pem}"))
            .unwrap()
            .to_string(),
        PIN
    );
    assert_eq!(PIN.parse::<CaCertHash>().unwrap().to_string(), PIN);
    assert_eq!(CaCertHash::of_pem("nothing"), Err(CertificateError::Pem));
    let block = |base64: &str| {
        format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n")
    };
    assert_eq!(
        CaCertHash::of_pem(&block("***")),
        Err(CertificateError::Pem)
    );
    let body: Vec<&str> = pem.lines().filter(|l| !l.starts_with('-')).collect();
    let whole = body.concat();
    for cut in (0..whole.len()).step_by(4) {
        assert_eq!(
            CaCertHash::of_pem(&block(&whole[..cut])),
            Err(CertificateError::Der),
            "cut at {cut}"
        );
    }
    assert!("md5:00".parse::<CaCertHash>().is_err());
}
