//! Whose trace a request belongs to: W3C's `traceparent` and X-Ray's
//! `X-Amzn-Trace-Id`, and which requests are sampled.
//!
//! The two name the same trace: X-Ray's root `1-5759e988-bd862e3fe1be46a994272793`
//! is W3C's `5759e988bd862e3fe1be46a994272793`.
//!
//! Source: W3C Recommendation "Trace Context", 3.2; AWS X-Ray developer guide,
//! "Tracing header"; OpenTelemetry specification, "Tracing SDK", "Sampling".

use crate::base::id::put_hex;

/// Where a request stands in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace; never zero.
    pub trace_id: u128,
    /// The span that the request comes from; zero where only a trace is named.
    pub parent: u64,
    /// Whether the caller records it; `None` where it leaves that open.
    pub sampled: Option<bool>,
}

impl TraceContext {
    /// Reads `traceparent`. A later version counts by its first four fields.
    pub fn of_w3c(text: &str) -> Option<Self> {
        let mut fields = text.split('-');
        let version = hex(fields.next()?, 2)?;
        let trace_id = hex(fields.next()?, 32)?;
        let parent = u64::try_from(hex(fields.next()?, 16)?).ok()?;
        let flags = hex(fields.next()?, 2)?;
        let ended = fields.next().is_none();
        if version == 0xff || (version == 0 && !ended) || trace_id == 0 || parent == 0 {
            return None;
        }
        Some(Self {
            trace_id,
            parent,
            sampled: Some(flags & 1 == 1),
        })
    }

    /// Reads `X-Amzn-Trace-Id`: `Root=1-…;Parent=…;Sampled=1`, in any order.
    pub fn of_xray(text: &str) -> Option<Self> {
        let mut context = Self {
            trace_id: 0,
            parent: 0,
            sampled: None,
        };
        for field in text.split(';') {
            match field.trim().split_once('=') {
                Some(("Root", root)) => {
                    let (time, rest) = root.strip_prefix("1-")?.split_once('-')?;
                    context.trace_id = (hex(time, 8)? << 96) | hex(rest, 24)?;
                }
                Some(("Parent", parent)) => {
                    context.parent = u64::try_from(hex(parent, 16)?).ok()?;
                }
                Some(("Sampled", "1")) => context.sampled = Some(true),
                Some(("Sampled", "0")) => context.sampled = Some(false),
                _ => {}
            }
        }
        (context.trace_id != 0).then_some(context)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the halves of a number")]
    fn halves(&self) -> [u64; 2] {
        [(self.trace_id >> 64) as u64, self.trace_id as u64]
    }

    /// As `traceparent`.
    pub fn w3c(&self) -> String {
        let mut text = *b"00-0123456789abcdef0123456789abcdef-0123456789abcdef-00";
        let [high, low] = self.halves();
        put_hex(&mut text[3..19], high);
        put_hex(&mut text[19..35], low);
        put_hex(&mut text[36..52], self.parent);
        put_hex(&mut text[53..], u64::from(self.sampled == Some(true)));
        // Digits are ASCII.
        String::from_utf8(text.to_vec()).unwrap_or_default()
    }

    /// As `X-Amzn-Trace-Id`, with what `own` says beside root, parent and sampling.
    pub fn xray(&self, own: Option<&str>) -> String {
        let mut root = *b"Root=1-01234567-012345670123456789abcdef";
        let [high, low] = self.halves();
        put_hex(&mut root[7..15], high >> 32);
        put_hex(&mut root[16..24], high);
        put_hex(&mut root[24..], low);
        // Room for parent and sampling.
        let mut text = String::with_capacity(root.len() + 40);
        // Digits are ASCII.
        text.push_str(std::str::from_utf8(&root).unwrap_or_default());
        if self.parent != 0 {
            let mut parent = *b";Parent=0123456789abcdef";
            put_hex(&mut parent[8..], self.parent);
            text.push_str(std::str::from_utf8(&parent).unwrap_or_default());
        }
        match self.sampled {
            Some(true) => text.push_str(";Sampled=1"),
            Some(false) => text.push_str(";Sampled=0"),
            None => {}
        }
        let known = ["Root=", "Parent=", "Sampled="];
        for field in own.unwrap_or_default().split(';').map(str::trim) {
            if !field.is_empty() && !known.iter().any(|known| field.starts_with(known)) {
                text.push(';');
                text.push_str(field);
            }
        }
        text
    }
}

/// Exactly `digits` hexadecimal digits in lower case, as both forms want them; at most 32.
fn hex(text: &str, digits: usize) -> Option<u128> {
    const OF_A_HALF: usize = 16;
    if text.len() != digits {
        return None;
    }
    let (high, low) = text.as_bytes().split_at(digits.saturating_sub(OF_A_HALF));
    Some(u128::from(half(high)?) << 64 | u128::from(half(low)?))
}

/// The number of at most sixteen digits.
fn half(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u64::from(digit))
    })
}

/// Which requests are sampled: `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// What the caller decided counts.
    by_parent: bool,
    /// The share of traces, 0.0 to 1.0.
    ratio: f64,
}

impl Sampler {
    /// Reads the two variables; without them everything is sampled whose caller does not forbid it.
    ///
    /// # Errors
    ///
    /// What is not understood, and what is.
    pub fn read(name: Option<&str>, argument: Option<&str>) -> Result<Self, String> {
        let ratio = || match argument.map(str::trim) {
            None | Some("") => Ok(1.0),
            Some(text) => text
                .parse()
                .ok()
                .filter(|ratio| (0.0..=1.0).contains(ratio))
                .ok_or_else(|| {
                    format!("OTEL_TRACES_SAMPLER_ARG is `{text}`; expected a share from 0 to 1")
                }),
        };
        let (by_parent, ratio) = match name.map(str::trim) {
            None | Some("" | "parentbased_always_on") => (true, 1.0),
            Some("parentbased_always_off") => (true, 0.0),
            Some("parentbased_traceidratio") => (true, ratio()?),
            Some("always_on") => (false, 1.0),
            Some("always_off") => (false, 0.0),
            Some("traceidratio") => (false, ratio()?),
            Some(other) => {
                return Err(format!(
                    "OTEL_TRACES_SAMPLER is `{other}`; expected always_on, always_off, traceidratio, \
                     parentbased_always_on, parentbased_always_off or parentbased_traceidratio"
                ));
            }
        };
        Ok(Self { by_parent, ratio })
    }

    /// Whether a trace is sampled. The same trace is everywhere, whoever asks with the same share.
    pub fn samples(&self, trace_id: u128, caller: Option<bool>) -> bool {
        if let (true, Some(decided)) = (self.by_parent, caller) {
            return decided;
        }
        // As OpenTelemetry's samplers: 63 bits of the id's lower half below the share.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of 2^63"
        )]
        let bound = (self.ratio * (1_u64 << 63) as f64) as u64;
        ((trace_id as u64) >> 1) < bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const W3C: &str = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01";
    const XRAY: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

    #[test]
    fn both_headers_name_the_same_trace() {
        let context = TraceContext::of_w3c(W3C).unwrap();

        assert_eq!(TraceContext::of_xray(XRAY), Some(context));
        assert_eq!(context.w3c(), W3C);
        assert_eq!(context.xray(None), XRAY);
        assert_eq!(
            context.xray(Some("Self=1-2-3; Root=1-0-0;Lineage=a:0")),
            format!("{XRAY};Self=1-2-3;Lineage=a:0")
        );
    }

    #[test]
    fn what_is_no_context_is_none() {
        for wrong in [
            "",
            "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8",
            "ff-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01",
            "00-5759E988BD862E3FE1BE46A994272793-53995c3f42cd8ad8-01",
            "00-00000000000000000000000000000000-53995c3f42cd8ad8-01",
            "00-5759e988bd862e3fe1be46a994272793-0000000000000000-01",
            "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01-x",
            "00-5759e988bd862e3fe1be46a99427279-53995c3f42cd8ad8-01",
        ] {
            assert_eq!(TraceContext::of_w3c(wrong), None, "{wrong}");
        }
        let later = format!("01{}-x", &W3C[2..]);
        assert!(TraceContext::of_w3c(&later).is_some());
        for wrong in ["", "Parent=53995c3f42cd8ad8", "Root=2-a-b", "Root=1-é-b"] {
            assert_eq!(TraceContext::of_xray(wrong), None, "{wrong}");
        }
        let open = TraceContext::of_xray("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=?");
        assert_eq!(open.unwrap().sampled, None);
    }

    #[test]
    fn samplers_do_what_their_names_say() {
        let read = |name, argument| Sampler::read(name, argument).unwrap();

        assert!(read(None, None).samples(1, None));
        assert!(!read(None, None).samples(1, Some(false)));
        assert!(read(Some("always_on"), None).samples(1, Some(false)));
        assert!(!read(Some("always_off"), None).samples(1, Some(true)));
        assert!(read(Some("parentbased_always_off"), None).samples(1, Some(true)));
        assert!(Sampler::read(Some("sometimes"), None).is_err());
        assert!(Sampler::read(Some("traceidratio"), Some("2")).is_err());

        let tenth = read(Some("traceidratio"), Some("0.1"));
        let ids =
            (0..10_000_u128).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
        let sampled = ids.filter(|id| tenth.samples(*id, None)).count();
        assert!((900..1100).contains(&sampled), "{sampled}");
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_a_context_or_none(text in ".*", hex in "[0-9a-f-]{0,60}") {
            for text in [text, format!("00-{hex}"), format!("Root=1-{hex};Parent={hex}")] {
                if let Some(context) = TraceContext::of_w3c(&text) {
                    proptest::prop_assert_eq!(TraceContext::of_w3c(&context.w3c()), Some(context));
                }
                if let Some(context) = TraceContext::of_xray(&text) {
                    proptest::prop_assert_eq!(TraceContext::of_xray(&context.xray(None)), Some(context));
                }
            }
        }
    }
}
