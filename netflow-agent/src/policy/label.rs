//! Which labels name a workload and which are stamped by a controller or a release. In: a key and a value.
//! Out: whether a selector may lean on them. A stamped label changes with the next rollout, so never.

/// Keys that controllers, Helm, Istio and the topology write.
const STAMPED: &[&str] = &[
    "pod-template-hash",
    "controller-revision-hash",
    "pod-template-generation",
    "rollouts-pod-template-hash",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    "job-name",
    "controller-uid",
    "app.kubernetes.io/version",
    "app.kubernetes.io/managed-by",
    "helm.sh/chart",
    "service.istio.io/canonical-revision",
];

/// Prefixes below which every key is stamped.
const STAMPED_PREFIXES: &[&str] = &[
    "batch.kubernetes.io/",
    "topology.kubernetes.io/",
    "failure-domain.beta.kubernetes.io/",
    "security.istio.io/",
];

/// True where the label tells workloads apart and outlives a rollout.
pub fn is_stable(key: &str, value: &str) -> bool {
    !STAMPED.contains(&key)
        && !STAMPED_PREFIXES.iter().any(|prefix| key.starts_with(prefix))
        && !looks_like_hash(value)
        && !looks_like_time(value)
}

/// Hexadecimal of seven digits or more with both letters and figures in it, or the API's safe alphabet
/// (no vowels) of eight to ten with a figure: what `pod-template-hash` and git write.
fn looks_like_hash(value: &str) -> bool {
    let bytes = value.as_bytes();
    let figures = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = bytes.iter().filter(|byte| byte.is_ascii_lowercase()).count();
    if figures == 0 || letters == 0 || figures + letters != bytes.len() {
        return false;
    }
    let hex = bytes.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let safe = bytes.iter().all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(byte));
    // One figure at the end is how people number things: `decade1`, `backfx2`.
    let numbered = figures == 1 && bytes.last().is_some_and(u8::is_ascii_digit);
    !numbered && ((hex && bytes.len() >= 7) || (safe && figures >= 2 && (8..=10).contains(&bytes.len())))
}

/// Eight digits or more (a date, an epoch, a build number), or `2026-11-20...`.
fn looks_like_time(value: &str) -> bool {
    let bytes = value.as_bytes();
    let digits = bytes.iter().all(u8::is_ascii_digit);
    let dated = bytes.len() >= 10
        && bytes[..10].iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => matches!(byte, b'-' | b'.' | b'_'),
            _ => byte.is_ascii_digit(),
        });
    (digits && bytes.len() >= 8) || dated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamped_labels_are_never_leant_on() {
        for (key, value, stable) in [
            ("app", "frontend", true),
            ("app", "1e3", true),
            ("app", "", true),
            ("app", "decade1", true),
            ("version", "v2", true),
            ("pod-template-hash", "6c9f8", false),
            ("batch.kubernetes.io/job-name", "report-28", false),
            ("batch.kubernetes.io/controller-uid", "u", false),
            ("statefulset.kubernetes.io/pod-name", "db-0", false),
            ("apps.kubernetes.io/pod-index", "0", false),
            ("security.istio.io/tlsMode", "istio", false),
            ("app.kubernetes.io/version", "1.2", false),
            ("commit", "8f3a2b1c", false),
            ("build", "20261120", false),
            ("deployed-at", "2026-11-20T10.00.00Z", false),
            ("rollout", "7d4b9c6f5d", false),
            ("port", "8080", true),
        ] {
            assert_eq!(is_stable(key, value), stable, "{key}={value}");
        }
    }
}
