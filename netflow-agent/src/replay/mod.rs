//! Observed edges against candidate policies. In: edges, a compiled cluster. Out: a class for each edge.
