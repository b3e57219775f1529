# The Pythons of this machine, and an environment for each pair of Python and Django.

# pythons: print "3.11 /path/to/python" for one interpreter of each version that will do.
pythons() {
  local candidate root found
  root=${PYENV_ROOT:-$(pyenv root 2>/dev/null || true)}
  for candidate in python3.{11..14} python3 ${root:+"$root"/versions/*/bin/python}; do
    found=$("$candidate" -c 'import ensurepip, sys, venv
if sys.version_info >= (3, 11) and sys.version_info.releaselevel == "final":
    print("%d.%d" % sys.version_info[:2], sys.executable)' 2>/dev/null) && [[ -n $found ]] && echo "$found"
  done | sort -t. -k2,2n -s | awk '!seen[$1]++'
}

# pairs: print "3.11 5.2 /path/to/python" for each pair to test. The oldest Python has the
# oldest Django and the newest the newest; one between has Django 6.0.
pairs() {
  local found newest version path
  found=$(pythons)
  newest=$(tail -n 1 <<<"$found" | cut -d' ' -f1)
  while read -r version path; do
    case $version in
      3.11) echo "$version 5.2 $path" ;;
      "$newest") echo "$version 6.1 $path" ;;
      3.12) echo "$version 6.0 $path" ;;
      3.*) echo "$version 6.1 $path" ;;
    esac
  done <<<"$found"
}

# environment PYTHON_VERSION DJANGO_VERSION PATH: print the environment's Python, after
# building it if no step has done so yet.
environment() {
  local directory="$WORK/environments/$1-$2"
  mkdir -p "$WORK/environments"
  (
    flock 9
    [[ -e $directory/ready ]] && exit
    "$3" -m venv "$directory"
    "$directory/bin/python" -m pip install -qq --upgrade 'pip>=25.1'
    "$directory/bin/python" -m pip install -qq --editable '.[mysql,postgres,redis]' \
      --group test "django~=$2.0"
    touch "$directory/ready"
  ) 9>"$directory.lock" >&2
  echo "$directory/bin/python"
}

# tools: print the directory of the environment that the other make targets share. They
# would each add to it while another runs; so everything is installed at once.
tools() {
  local directory="$WORK/environments/tools"
  mkdir -p "$WORK/environments"
  (
    flock 9
    [[ -e $directory/ready ]] && exit
    make --no-print-directory "$directory/.ready-dev" VENV="$directory"
    touch "$directory"/.ready-{browser,docs,engines,lint,packaging,schema,types} "$directory/ready"
  ) 9>"$directory.lock" >&2
  echo "$directory"
}
