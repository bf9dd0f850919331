"""Where parties run: tmux panes, plain processes, forks."""
