use crate::stems::Stems;

/// In a URL, in lower case. Long enough to stand inside longer words.
const IN_URL: Stems = Stems::new(&[
    "unsub",
    "optout",
    "opt-out",
    "opt_out",
    "remove-me",
    "removeme",
    "remove_me",
    "stop-emails",
    "list-remove",
    // German
    "abmeld",
    "abbestell",
    "austragen",
    // French
    "desabonn",
    "desinscri",
    "d%c3%a9sabonn",
    "d%c3%a9sinscri",
    "se-desinscrire",
    // Spanish, Portuguese
    "darse-de-baja",
    "dar-de-baja",
    "cancelar-suscripcion",
    "cancelar-inscricao",
    "descadastr",
    "desuscri",
    // Italian
    "disiscri",
    "cancella-iscrizione",
    "disiscrizione",
    // Dutch, Danish, Norwegian, Swedish
    "uitschrijv",
    "afmeld",
    "avmeld",
    "frameld",
    "avprenumerera",
    "avregistrer",
    // Polish, Czech, Finnish, Hungarian, Turkish, Russian
    "wypisz",
    "rezygnacja",
    "odhlasit",
    "odhlaseni",
    "peruuta-tilaus",
    "leiratkoz",
    "abonelikten",
    "otpisat",
]);

/// In a link's visible text, in lower case.
const IN_TEXT: Stems = Stems::new(&[
    "unsubscri",
    "opt out",
    "opt-out",
    "stop receiving",
    "remove me from",
    // German
    "abmelden",
    "abbestell",
    "austragen",
    // French
    "désabonn",
    "desabonn",
    "désinscri",
    "desinscri",
    "ne plus recevoir",
    // Spanish, Portuguese
    "darse de baja",
    "darme de baja",
    "dar de baja",
    "cancelar suscripción",
    "cancelar la suscripción",
    "cancelar inscrição",
    "cancelar a inscrição",
    "cancelar subscrição",
    "descadastr",
    "remover inscrição",
    // Italian
    "disiscri",
    "annulla iscrizione",
    "annulla l'iscrizione",
    "cancella iscrizione",
    "cancellati dal",
    "cancellarti",
    "cancellarsi dal",
    // Dutch, Danish, Norwegian, Swedish
    "uitschrij",
    "afmeld",
    "avmeld",
    "frameld",
    "avregistrer",
    "avprenumerera",
    "avsluta prenumeration",
    // Polish, Czech, Slovak, Finnish, Hungarian, Romanian, Turkish, Greek
    "wypisz",
    "rezygnuj",
    "zrezygnuj",
    "odhlásit",
    "odhlásiť",
    "peruuta tilaus",
    "leiratkoz",
    "dezabon",
    "abonelikten çık",
    "aboneliği iptal",
    "διαγραφή",
    "κατάργηση εγγραφής",
    // Russian, Ukrainian, Bulgarian
    "отписаться",
    "отписка",
    "отказаться от рассылки",
    "відписатися",
    "отпис",
    // Hebrew, Arabic
    "הסר מרשימת",
    "ביטול הרשמה",
    "להסרה",
    "إلغاء الاشتراك",
    // Japanese, Chinese, Korean, Vietnamese, Thai
    "配信停止",
    "配信解除",
    "登録解除",
    "購読解除",
    "メール配信を停止",
    "退订",
    "取消订阅",
    "退訂",
    "取消訂閱",
    "수신거부",
    "수신 거부",
    "구독 취소",
    "구독취소",
    "hủy đăng ký",
    "ยกเลิกการสมัคร",
    "ยกเลิกการรับ",
]);

/// Does this URL, in lower case, look like one for unsubscribing?
pub(crate) fn is_in_url(lower: &str) -> bool {
    IN_URL.are_in(lower)
}

/// Does this text, in lower case, say that its link unsubscribes?
pub(crate) fn is_in_text(lower: &str) -> bool {
    IN_TEXT.are_in(lower)
}

/// The URLs of a List-Unsubscribe field: in angle brackets, with commas and comments between (RFC 2369 §2); or without
/// brackets, as some programs write them. What is not a URL among them does no harm.
pub(crate) fn targets(body: &str) -> Vec<String> {
    if !body.contains('<') {
        return body.split_whitespace().map(|word| word.trim_matches(',').to_owned()).collect();
    }
    // White space inside the brackets came with folding, and does not count.
    let inside = |rest: &str| rest.split('>').next().unwrap_or_default().split_whitespace().collect();
    body.split('<').skip(1).map(inside).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_urls_of_a_field() {
        for (body, urls) in [
            ("<https://example.com/u?a=1,2>", &["https://example.com/u?a=1,2"][..]),
            (
                "<mailto:u@example.com?subject=x>, <https://example.com/u>",
                &["mailto:u@example.com?subject=x", "https://example.com/u"],
            ),
            (
                "(press here) <https://example.com/u>,<https://b.example/>",
                &["https://example.com/u", "https://b.example/"],
            ),
            ("<https://example.com/ \tlong>", &["https://example.com/long"]),
            ("https://example.com/u?a=1", &["https://example.com/u?a=1"]),
            (
                "mailto:u@example.com, https://example.com/u",
                &["mailto:u@example.com", "https://example.com/u"],
            ),
            ("<https://example.com/cut", &["https://example.com/cut"]),
            ("<>", &[""]),
            ("", &[]),
        ] {
            assert_eq!(targets(body), urls, "{body}");
        }
    }

    #[test]
    fn urls() {
        for url in [
            "https://example.com/unsubscribe?u=1",
            "https://example.com/u/unsub/abc",
            "https://example.com/list-unsubscribe",
            "https://example.com/opt-out",
            "https://example.com/?action=optout",
            "https://example.com/newsletter/abmelden",
            "https://example.com/newsletter-abbestellen",
            "https://example.com/se-desabonner",
            "https://example.com/d%c3%a9sabonner",
            "https://example.com/desinscription",
            "https://example.com/darse-de-baja",
            "https://example.com/uitschrijven",
            "https://example.com/afmelden",
            "https://unsubscribe.example.com/x",
            "https://example.com/wypisz-sie",
        ] {
            assert!(is_in_url(url), "{url}");
        }
        for url in [
            "https://example.com/",
            "https://example.com/subscribe",
            "https://example.com/subscription",
            "https://example.com/about",
            "https://example.com/baja-california",
            "https://example.com/options",
            "https://example.com/option-output",
            "https://example.com/abonnement",
            "https://example.com/anmeldung",
            "https://example.com/cancellation-policy",
        ] {
            assert!(!is_in_url(url), "{url}");
        }
    }

    #[test]
    fn texts() {
        for text in [
            "Unsubscribe",
            "click here to unsubscribe",
            "Opt out",
            "Vom Newsletter abmelden",
            "Newsletter abbestellen",
            "Se désabonner",
            "Me désinscrire",
            "Darse de baja",
            "Disiscriviti",
            "Cancellati dalla newsletter",
            "Clicca qui per cancellarti",
            "Uitschrijven",
            "Отписаться от рассылки",
            "配信停止はこちら",
            "退订",
            "수신거부",
            "Wypisz się",
            "Avregistrera",
            "Έξοδος / Διαγραφή",
            "إلغاء الاشتراك",
        ] {
            assert!(is_in_text(&text.to_lowercase()), "{text}");
        }
        for text in [
            "Subscribe",
            "Voli cancellati",
            "Anmelden",
            "Abonnieren",
            "Read more",
            "S'abonner",
            "Our options",
            "登録",
            "订阅",
        ] {
            assert!(!is_in_text(&text.to_lowercase()), "{text}");
        }
    }
}
