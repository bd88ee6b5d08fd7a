# Completion of the ctms command line for bash. It reads the help of the program, so it
# knows every command.

_ctms_commands() {
    ctms --help 2>/dev/null | sed -n '/^Commands:/,/^$/s/^  \([a-z][a-z -]*[a-z]\).*/\1/p'
}

_ctms() {
    local current=${COMP_WORDS[COMP_CWORD]} words=() word line rest is_value=
    COMPREPLY=()
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        [[ -n $is_value || $word == -* ]] || words+=("$word")
        is_value=""
        case $word in
        --config | --rest-config | --agent-config | --db-url | --timeout | --old) is_value=yes ;;
        --email-file | --query | --newsletter | --waitlist | --error) is_value=yes ;;
        esac
    done
    [[ ${words[0]} != help ]] || words=("${words[@]:1}")
    case ${COMP_WORDS[COMP_CWORD - 1]} in
    --config | --rest-config | --agent-config | --email-file | -f | --schema | --output | -o)
        COMPREPLY=($(compgen -f -- "$current"))
        return
        ;;
    esac
    if [[ $current == -* ]]; then
        COMPREPLY=($(compgen -W "$(ctms "${words[@]:0:3}" --help 2>/dev/null |
            sed -n 's/^  .*\(--[a-z][a-z-]*\).*/\1/p')" -- "$current"))
        return
    fi
    rest=""
    while read -r line; do
        line="$line "
        if [[ ${#words[@]} == 0 || $line == "${words[*]} "* ]]; then
            line=${line#"${words[*]}"}
            read -r word _ <<<"$line"
            rest="$rest $word"
        fi
    done < <(_ctms_commands)
    COMPREPLY=($(compgen -W "$rest" -- "$current"))
    [[ ${#COMPREPLY[@]} -gt 0 ]] || COMPREPLY=($(compgen -f -- "$current"))
}

complete -F _ctms ctms
