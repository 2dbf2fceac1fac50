# Sourced: finds cargo where rustup put it.
case ":$PATH:" in *:"$HOME/.cargo/bin":*) ;; *) PATH=$HOME/.cargo/bin:$PATH; export PATH ;; esac
