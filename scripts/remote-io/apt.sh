# SPDX-License-Identifier: GPL-2.0-or-later
#
# apt with sources, lists and cache of our own, so that packages of other
# suites can be taken without a change to the system.  apt verifies what it
# fetches with Debian's own keys, as ever.  Read after lib.sh.

keyring=/usr/share/keyrings/debian-archive-keyring.gpg
apt_home=$cache/apt

# The mirror that the system itself uses, if it is a Debian system: by what
# apt has fetched from it, or else by the first such line of its sources.
system_mirror() {
    local found

    found=$(apt-get indextargets --format \
                '$(REPO_URI) $(ORIGIN) $(RELEASE) $(COMPONENT)' \
                'Created-By: Packages' 2>/dev/null |
            awk '$2 == "Debian" && $4 == "main" && $3 !~ /-/ { print $1 }')
    [ -n "$found" ] ||
        found=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* \
                    2> /dev/null | grep -v '^#' |
                grep -oE 'https?://[^ ]+/debian/?( |$)' || true)
    echo "$found" | head -n 1 | tr -d ' '
}

# private_apt TOOL ARGUMENT...
private_apt() {
    local tool=$1
    shift
    "$tool" -o Dir::State="$apt_home/state" \
            -o Dir::State::Lists="$apt_home/lists" \
            -o Dir::State::status="$apt_home/status" \
            -o Dir::Cache="$apt_home/cache" \
            -o Dir::Etc::SourceList="$apt_home/sources.list" \
            -o Dir::Etc::SourceParts=/dev/null \
            -o Dir::Etc::Preferences=/dev/null \
            -o Dir::Etc::PreferencesParts=/dev/null \
            -o Acquire::Languages=none \
            -o Acquire::Retries=2 \
            -o APT::Sandbox::User=root "$@"
}

# apt_sources MIRROR LINE...: which suites are asked, as in
# "deb-src trixie"
apt_sources() {
    local mirror=$1 line
    shift
    mkdir -p "$apt_home"/{state,lists/partial,cache/archives/partial}
    : > "$apt_home/status"
    for line; do
        echo "${line% *} [signed-by=$keyring] $mirror ${line#* } main"
    done > "$apt_home/sources.list"
}

# apt_update LINE...: fetch the lists of those suites from the system's
# mirror, or from those that REMOTE_IO_MIRROR names.
apt_update() {
    local mirror tried=
    command -v apt-get > /dev/null || return 1
    [ -r "$keyring" ] || return 1
    for mirror in ${REMOTE_IO_MIRROR:-$(system_mirror)}; do
        [ "$mirror" != "$tried" ] || continue
        tried=${mirror%/}
        say "asking $tried for its package lists"
        apt_sources "$tried" "$@"
        if private_apt apt-get -q update --error-on=any \
                       > "$apt_home/update.log" 2>&1; then
            return 0
        fi
        grep -h '^[EW]:' "$apt_home/update.log" | head -n 3 |
            sed 's/^/    /' >&2
    done
    return 1
}
