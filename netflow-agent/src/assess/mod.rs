//! How sure the picture is. In: edges, coverage. Out: coverage, unseen edges, backtest, a verdict in words.
