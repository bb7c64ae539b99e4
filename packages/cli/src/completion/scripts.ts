/**
 * The script that a shell loads. It asks `launchpad __complete` for each word, so it never is older than the program:
 * lines of `word<TAB>about`, and `:files` where the shell shall offer files.
 */
export const scripts: Record<"bash" | "zsh" | "fish", string> = {
  bash: `# bash: eval "$(launchpad completion bash)"
_launchpad() {
  local line
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ $line == :files ]]; then
      COMPREPLY+=($(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}"))
    else
      COMPREPLY+=("\${line%%$'\\t'*}")
    fi
  done < <(launchpad __complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o filenames -F _launchpad launchpad
`,
  zsh: `#compdef launchpad
# zsh: eval "$(launchpad completion zsh)"
_launchpad() {
  local line
  local -a offered
  while IFS= read -r line; do
    if [[ $line == :files ]]; then
      _files
    else
      offered+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
    fi
  done < <(launchpad __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)
  (( \${#offered} )) && _describe 'launchpad' offered
}
compdef _launchpad launchpad
`,
  fish: `# fish: launchpad completion fish | source
function __launchpad_complete
  set -l words (commandline -opc) (commandline -ct)
  for line in (launchpad __complete $words[2..-1] 2>/dev/null)
    if test "$line" = ":files"
      __fish_complete_path (commandline -ct)
    else
      echo $line
    end
  end
end
complete -c launchpad -f -a '(__launchpad_complete)'
`,
};
