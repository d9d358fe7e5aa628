# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_millpond_global_optspecs
    string join \n h/help V/version
end

function __fish_millpond_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_millpond_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_millpond_using_subcommand
    set -l cmd (__fish_millpond_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c millpond -n "__fish_millpond_needs_command" -s h -l help -d 'Print help'
complete -c millpond -n "__fish_millpond_needs_command" -s V -l version -d 'Print version'
complete -c millpond -n "__fish_millpond_needs_command" -f -a "demo" -d 'Show what connection pooling does, without a configuration or a backend'
complete -c millpond -n "__fish_millpond_needs_command" -f -a "run" -d 'Run the proxy'
complete -c millpond -n "__fish_millpond_needs_command" -f -a "check" -d 'Check a configuration file and print everything that is wrong with it'
complete -c millpond -n "__fish_millpond_needs_command" -f -a "doctor" -d 'Check this host against a configuration: limits, ports, settings of the kernel'
complete -c millpond -n "__fish_millpond_needs_command" -f -a "plan" -d 'Work out whether a rate of connections exhausts the source ports'
complete -c millpond -n "__fish_millpond_needs_command" -f -a "stats" -d 'Print the statistics of a running instance'
complete -c millpond -n "__fish_millpond_needs_command" -f -a "drain" -d 'Have a running instance finish what runs, and end'
complete -c millpond -n "__fish_millpond_needs_command" -f -a "health" -d 'Ask a running instance whether it serves new clients'
complete -c millpond -n "__fish_millpond_needs_command" -f -a "conns" -d 'List the TCP connections of a running instance, each with its owner'
complete -c millpond -n "__fish_millpond_needs_command" -f -a "reload" -d 'Have a running instance read its configuration again'
complete -c millpond -n "__fish_millpond_needs_command" -f -a "upgrade" -d 'Have a running instance hand over to a new process, without a client noticing'
complete -c millpond -n "__fish_millpond_needs_command" -f -a "top" -d 'Watch a running instance, full screen'
complete -c millpond -n "__fish_millpond_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c millpond -n "__fish_millpond_using_subcommand demo" -l once -d 'Exit after the table: with 0, or with 1 if a request failed'
complete -c millpond -n "__fish_millpond_using_subcommand demo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c millpond -n "__fish_millpond_using_subcommand run" -s c -l config -d 'The configuration file' -r -F
complete -c millpond -n "__fish_millpond_using_subcommand run" -l listen -d 'Instead of a file: the address to listen on' -r
complete -c millpond -n "__fish_millpond_using_subcommand run" -l upstream -d 'Instead of a file: the addresses to forward to, or names that stand for addresses' -r
complete -c millpond -n "__fish_millpond_using_subcommand run" -l tcp -d 'Forward TCP connections instead of HTTP requests'
complete -c millpond -n "__fish_millpond_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c millpond -n "__fish_millpond_using_subcommand check" -s c -l config -d 'The configuration file' -r -F
complete -c millpond -n "__fish_millpond_using_subcommand check" -l strict -d 'Fail on warnings too'
complete -c millpond -n "__fish_millpond_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c millpond -n "__fish_millpond_using_subcommand doctor" -s c -l config -d 'The configuration file; without it, one HTTP listener and one endpoint with every default' -r -F
complete -c millpond -n "__fish_millpond_using_subcommand doctor" -l json -d 'Print JSON'
complete -c millpond -n "__fish_millpond_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c millpond -n "__fish_millpond_using_subcommand plan" -l rate -d 'Requests a second, all together; or connections, where each request opens one' -r
complete -c millpond -n "__fish_millpond_using_subcommand plan" -l backends -d 'Backends that share the requests evenly' -r
complete -c millpond -n "__fish_millpond_using_subcommand plan" -l source-addresses -d 'Local addresses that share the connections evenly' -r
complete -c millpond -n "__fish_millpond_using_subcommand plan" -l ports -d 'Ports from one local address to one backend [default: those of net.ipv4.ip_local_port_range here]' -r
complete -c millpond -n "__fish_millpond_using_subcommand plan" -l time-wait -d 'Seconds for which the port of a closed connection is held [default: 60, as in Linux]' -r
complete -c millpond -n "__fish_millpond_using_subcommand plan" -l reuse -d 'Percent of the requests that go over a connection used before' -r
complete -c millpond -n "__fish_millpond_using_subcommand plan" -l json -d 'Print JSON'
complete -c millpond -n "__fish_millpond_using_subcommand plan" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c millpond -n "__fish_millpond_using_subcommand stats" -l admin -d 'Where the admin server of the instance listens: host:port or unix:/path; else MILLPOND_ADMIN_LISTEN says it' -r
complete -c millpond -n "__fish_millpond_using_subcommand stats" -l token-file -d 'The file with its token, if it wants one; else MILLPOND_ADMIN_TOKEN_FILE names it' -r -F
complete -c millpond -n "__fish_millpond_using_subcommand stats" -l json -d 'Print the JSON of GET /stats as it comes'
complete -c millpond -n "__fish_millpond_using_subcommand stats" -s h -l help -d 'Print help'
complete -c millpond -n "__fish_millpond_using_subcommand drain" -l admin -d 'Where the admin server of the instance listens: host:port or unix:/path; else MILLPOND_ADMIN_LISTEN says it' -r
complete -c millpond -n "__fish_millpond_using_subcommand drain" -l token-file -d 'The file with its token, if it wants one; else MILLPOND_ADMIN_TOKEN_FILE names it' -r -F
complete -c millpond -n "__fish_millpond_using_subcommand drain" -l wait -d 'Wait until it has ended; exits with 1 if that takes longer than its runtime.shutdown_timeout'
complete -c millpond -n "__fish_millpond_using_subcommand drain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c millpond -n "__fish_millpond_using_subcommand health" -l admin -d 'Where the admin server of the instance listens: host:port or unix:/path; else MILLPOND_ADMIN_LISTEN says it' -r
complete -c millpond -n "__fish_millpond_using_subcommand health" -l live -d 'Ask only whether the process answers, drain or not'
complete -c millpond -n "__fish_millpond_using_subcommand health" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c millpond -n "__fish_millpond_using_subcommand conns" -l admin -d 'Where the admin server of the instance listens: host:port or unix:/path; else MILLPOND_ADMIN_LISTEN says it' -r
complete -c millpond -n "__fish_millpond_using_subcommand conns" -l token-file -d 'The file with its token, if it wants one; else MILLPOND_ADMIN_TOKEN_FILE names it' -r -F
complete -c millpond -n "__fish_millpond_using_subcommand conns" -l state -d 'In these states: close-wait, time-wait, ..., or all, synchronized, big, bucket as in ss' -r
complete -c millpond -n "__fish_millpond_using_subcommand conns" -l older-than -d 'Longer than this in its state, or where that is not known, open for longer than this' -r
complete -c millpond -n "__fish_millpond_using_subcommand conns" -l listener -d 'Of this listener, by name or address' -r
complete -c millpond -n "__fish_millpond_using_subcommand conns" -l upstream -d 'Of this upstream: connections to its endpoints, and the clients that have one' -r
complete -c millpond -n "__fish_millpond_using_subcommand conns" -l endpoint -d 'Of this endpoint, with or without its port' -r
complete -c millpond -n "__fish_millpond_using_subcommand conns" -l side -d 'Only those of clients, or only those to endpoints: client or upstream' -r
complete -c millpond -n "__fish_millpond_using_subcommand conns" -l phase -d 'Whose owner is at this: idle, reading_head, waiting, connecting, exchange, tunnel, closing; none: no owner' -r
complete -c millpond -n "__fish_millpond_using_subcommand conns" -l sort -d 'The largest first: age, idle, state-age, bytes or rtt' -r
complete -c millpond -n "__fish_millpond_using_subcommand conns" -l limit -d 'How many are listed; all that match are counted [default: 1000]' -r
complete -c millpond -n "__fish_millpond_using_subcommand conns" -l json -d 'Print the JSON of GET /connections as it comes'
complete -c millpond -n "__fish_millpond_using_subcommand conns" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c millpond -n "__fish_millpond_using_subcommand reload" -l admin -d 'Where the admin server of the instance listens: host:port or unix:/path; else MILLPOND_ADMIN_LISTEN says it' -r
complete -c millpond -n "__fish_millpond_using_subcommand reload" -l token-file -d 'The file with its token, if it wants one; else MILLPOND_ADMIN_TOKEN_FILE names it' -r -F
complete -c millpond -n "__fish_millpond_using_subcommand reload" -l json -d 'Print the answer as JSON'
complete -c millpond -n "__fish_millpond_using_subcommand reload" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c millpond -n "__fish_millpond_using_subcommand upgrade" -l admin -d 'Where the admin server of the instance listens: host:port or unix:/path; else MILLPOND_ADMIN_LISTEN says it' -r
complete -c millpond -n "__fish_millpond_using_subcommand upgrade" -l token-file -d 'The file with its token, if it wants one; else MILLPOND_ADMIN_TOKEN_FILE names it' -r -F
complete -c millpond -n "__fish_millpond_using_subcommand upgrade" -l binary -d 'Other servers take it; refused with what to do instead' -r -F
complete -c millpond -n "__fish_millpond_using_subcommand upgrade" -l json -d 'Print the answer as JSON'
complete -c millpond -n "__fish_millpond_using_subcommand upgrade" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c millpond -n "__fish_millpond_using_subcommand top" -l admin -d 'Where the admin server of the instance listens: host:port or unix:/path; else MILLPOND_ADMIN_LISTEN says it' -r
complete -c millpond -n "__fish_millpond_using_subcommand top" -l token-file -d 'The file with its token, if it wants one; else MILLPOND_ADMIN_TOKEN_FILE names it' -r -F
complete -c millpond -n "__fish_millpond_using_subcommand top" -l interval -d 'How often to ask it, from 100ms to 1h' -r
complete -c millpond -n "__fish_millpond_using_subcommand top" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c millpond -n "__fish_millpond_using_subcommand help; and not __fish_seen_subcommand_from demo run check doctor plan stats drain health conns reload upgrade top help" -f -a "demo" -d 'Show what connection pooling does, without a configuration or a backend'
complete -c millpond -n "__fish_millpond_using_subcommand help; and not __fish_seen_subcommand_from demo run check doctor plan stats drain health conns reload upgrade top help" -f -a "run" -d 'Run the proxy'
complete -c millpond -n "__fish_millpond_using_subcommand help; and not __fish_seen_subcommand_from demo run check doctor plan stats drain health conns reload upgrade top help" -f -a "check" -d 'Check a configuration file and print everything that is wrong with it'
complete -c millpond -n "__fish_millpond_using_subcommand help; and not __fish_seen_subcommand_from demo run check doctor plan stats drain health conns reload upgrade top help" -f -a "doctor" -d 'Check this host against a configuration: limits, ports, settings of the kernel'
complete -c millpond -n "__fish_millpond_using_subcommand help; and not __fish_seen_subcommand_from demo run check doctor plan stats drain health conns reload upgrade top help" -f -a "plan" -d 'Work out whether a rate of connections exhausts the source ports'
complete -c millpond -n "__fish_millpond_using_subcommand help; and not __fish_seen_subcommand_from demo run check doctor plan stats drain health conns reload upgrade top help" -f -a "stats" -d 'Print the statistics of a running instance'
complete -c millpond -n "__fish_millpond_using_subcommand help; and not __fish_seen_subcommand_from demo run check doctor plan stats drain health conns reload upgrade top help" -f -a "drain" -d 'Have a running instance finish what runs, and end'
complete -c millpond -n "__fish_millpond_using_subcommand help; and not __fish_seen_subcommand_from demo run check doctor plan stats drain health conns reload upgrade top help" -f -a "health" -d 'Ask a running instance whether it serves new clients'
complete -c millpond -n "__fish_millpond_using_subcommand help; and not __fish_seen_subcommand_from demo run check doctor plan stats drain health conns reload upgrade top help" -f -a "conns" -d 'List the TCP connections of a running instance, each with its owner'
complete -c millpond -n "__fish_millpond_using_subcommand help; and not __fish_seen_subcommand_from demo run check doctor plan stats drain health conns reload upgrade top help" -f -a "reload" -d 'Have a running instance read its configuration again'
complete -c millpond -n "__fish_millpond_using_subcommand help; and not __fish_seen_subcommand_from demo run check doctor plan stats drain health conns reload upgrade top help" -f -a "upgrade" -d 'Have a running instance hand over to a new process, without a client noticing'
complete -c millpond -n "__fish_millpond_using_subcommand help; and not __fish_seen_subcommand_from demo run check doctor plan stats drain health conns reload upgrade top help" -f -a "top" -d 'Watch a running instance, full screen'
complete -c millpond -n "__fish_millpond_using_subcommand help; and not __fish_seen_subcommand_from demo run check doctor plan stats drain health conns reload upgrade top help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
