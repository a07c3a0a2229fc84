"""Many runs as one study: its queue in Optuna's storage, a train.py for each trial, tables and answers."""
