# Shared by deploy/test and deploy/quickstart; sourced, not run.
# Sets ROOT (the repository) and changes to it; `install_packages` and `find_swift` prepare the machine.

# The repository stands one folder above this file, wherever the caller is and whatever its name holds.
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
cd "$ROOT"

# To build and link, to train on, and for the drills and scripts.
PACKAGES=(libnng-dev libopenblas-dev libxxhash-dev libsqlite3-dev libzstd-dev zlib1g-dev
    dataset-fashion-mnist iproute2 python3)

say() { printf '\n==> %s\n' "$*"; }

# One line that says what is wrong and how to mend it, then the end.
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Under sudo, builds and runs belong to the user who asked: root's files in .build would break that user's next
# build. Everything that is not apt goes through as_user. A clone that this user can't write to is root's affair.
BUILDER=
if [[ $EUID -eq 0 && -n ${SUDO_USER:-} && $SUDO_USER != root ]] &&
    sudo -n -u "$SUDO_USER" test -w "$ROOT" 2>/dev/null; then
    BUILDER=$SUDO_USER
fi

as_user() {
    if [[ -n $BUILDER ]]; then
        sudo -n -u "$BUILDER" -H env "PATH=$PATH" ${VARVE:+"VARVE=$VARVE"} ${NO_COLOR:+"NO_COLOR=$NO_COLOR"} \
            ${TERM:+"TERM=$TERM"} "$@"
    else
        "$@"
    fi
}

as_root() {
    if [[ $EUID -eq 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "root is needed to run '$*': run that as root, then this script again"
    fi
}

installed() { [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

# Installs only what is missing; the package lists are fetched only when they do not know a package.
install_packages() {
    command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
        fail "this script installs with apt-get (Debian 13, Ubuntu 24.04): install the packages yourself: ${PACKAGES[*]}"
    local package missing=()
    for package in "${PACKAGES[@]}"; do
        installed "$package" || missing+=("$package")
    done
    [[ ${#missing[@]} -gt 0 ]] || return 0
    say "Installing ${missing[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" ||
        {
            as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q
            as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
        } || fail "apt-get could not install ${missing[*]}: install them, then run this again"
}

# Puts swift on PATH. sudo clears PATH, so the usual homes of a toolchain are looked into as well.
find_swift() {
    local home=${HOME:-/root} folder
    if [[ -n ${SUDO_USER:-} ]]; then home=$(getent passwd "$SUDO_USER" | cut -d: -f6); fi
    if ! command -v swift >/dev/null; then
        for folder in /opt/swift/usr/bin "$home/.local/share/swiftly/bin" /usr/local/swift/usr/bin; do
            if [[ -x $folder/swift ]]; then
                export PATH="$folder:$PATH"
                break
            fi
        done
    fi
    command -v swift >/dev/null ||
        fail "swift was not found: install Swift 6.2 or newer from https://swift.org/install and put it on PATH"
}

# Hands a build folder that an earlier run left to root back to the user who builds.
claim_build_folder() {
    local path
    if [[ -n $BUILDER ]]; then
        for path in .build Package.resolved varve-runs; do
            [[ ! -e $path ]] || chown -R "$BUILDER" "$path"
        done
    elif [[ -e .build && ! -w .build ]]; then
        fail ".build belongs to another user: 'sudo chown -R $(id -un) .build', then run this again"
    fi
}

# Prepares the machine; quick when there is nothing to do.
prepare() {
    install_packages
    find_swift
    claim_build_folder
}
