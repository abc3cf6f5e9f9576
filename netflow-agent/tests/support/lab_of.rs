//! A lab for a privileged test, or a return from it with the reason noted.

/// The suite is the crate of the test.
macro_rules! lab_of {
    ($test:literal, $n_pods:expr) => {
        match crate::lab::missing() {
            None => crate::lab::Lab::new($n_pods),
            Some(reason) => {
                return crate::skip::skip(concat!(env!("CARGO_CRATE_NAME"), "::", $test), &reason);
            }
        }
    };
}
pub(crate) use lab_of;
