"""Making, converting and checking data sets; nothing here takes part in training or evaluation."""
