//! What people decided about edges: the review file. In: its YAML. Out: approved, denied, declared, widened.
