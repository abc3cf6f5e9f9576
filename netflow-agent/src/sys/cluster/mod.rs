//! The Kubernetes API: watches, and reaching agents by port-forward.
