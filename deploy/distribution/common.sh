# What `make` and `add-update` share: how packages are built, signed and
# indexed. Sourced, never run.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dist=.mm43
# A fixed date: two runs differ in nothing but their signatures.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-1767225600}

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

require() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null ||
            fail "cannot find the program '$program': run deploy/packages first"
    done
}

# Prints the upstream version of a Debian version, in a spelling RPM accepts.
upstream_version() {
    sed -e 's/^[0-9]*://' -e 's/-[^-]*$//' -e 's/[+~-].*//' -e 's/\.dfsg$//' <<<"$1"
}

# write_macros WORK UNPACKED KVER: the settings every rpmbuild of this run reads.
write_macros() {
    local work=$1 unpacked=$2 kver=$3 package
    mkdir -p "$work"/{home,log} "$work"/rpmbuild/{BUILD,BUILDROOT,RPMS,SOURCES,SPECS,SRPMS}
    {
        cat <<MACROS
%_topdir $work/rpmbuild
%_tmppath $work
%_buildshell /bin/bash
%_dbpath $work/rpmdb
%dist $dist
%kver $kver
%distribution_files $here/files
%public_key $work/RPM-GPG-KEY
%deb() $unpacked/%1
%deb_version() %{expand:%%{version_of_%(printf %s %1 | tr -c a-zA-Z0-9 _)}}
%_unitdir /usr/lib/systemd/system
%_libdir /usr/lib64
%_build_id_links none
%debug_package %{nil}
%__os_install_post %{nil}
%_binary_payload w3.zstdio
%_buildhost builder.murmur.invalid
%use_source_date_epoch_as_buildtime 1
%clamp_mtime_to_source_date_epoch 1
%vendor Murmur Project
%packager Murmur Project
%_gpg_name Murmur Linux
%__gpg /usr/bin/gpg
MACROS
        for package in "$unpacked"/*/; do
            package=${package%/}
            printf '%%version_of_%s %s\n' "$(tr -c 'a-zA-Z0-9\n' _ <<<"${package##*/}")" \
                "$(upstream_version "$(cat "$package.version")")"
        done
    } >"$work/home/.rpmmacros"
}

# build WORK SPEC [OPTION...]: one rpmbuild; its log is shown only when it fails.
build() {
    local work=$1 spec=$2
    local log
    shift 2
    log=$work/log/$(basename "$spec" .spec)
    if ! HOME=$work/home rpmbuild -bb --nodeps --target x86_64-linux "$@" "$spec" >"$log" 2>&1; then
        tail -n 25 "$log" >&2
        fail "cannot build $spec"
    fi
}

# with_key GNUPGHOME SECRET_KEY_FILE: makes a signing home of the stored key.
with_key() {
    mkdir -m 700 "$1"
    gpg --homedir "$1" --quiet --batch --import "$2"
}

# sign WORK GNUPGHOME PACKAGE...
sign() {
    local work=$1 keys=$2
    shift 2
    HOME=$work/home GNUPGHOME=$keys rpmsign --addsign "$@" >"$work/log/sign" 2>&1 || {
        cat "$work/log/sign" >&2
        fail "cannot sign the packages"
    }
}

# referenced REPOSITORY: the names of the files that its metadata consists of.
referenced() {
    sed -n 's|.*<location href="repodata/\([^"]*\)".*|\1|p' "$1/repodata/repomd.xml" 2>/dev/null || true
}

# index REPOSITORY [CREATEREPO_OPTION...]: renews the metadata so that a reader
# sees the old or the new and never a mixture. The files beside repomd.xml are
# named by their checksums, so they can lie there before the last rename; those
# of the generation before stay, for a reader who is in the middle.
index() {
    local repository=$1 fresh kept file
    shift
    mkdir -p "$repository/repodata"
    kept=$(referenced "$repository")
    fresh=$(mktemp -d "$repository/.fresh.XXXXXX")
    createrepo_c --quiet --no-database --general-compress-type=gz --excludes '.fresh*' \
        --revision "$(date +%s)" --outputdir "$fresh" "$@" "$repository"
    find "$fresh/repodata" -type f ! -name repomd.xml -exec mv -t "$repository/repodata" {} +
    mv "$fresh/repodata/repomd.xml" "$repository/repodata/repomd.xml"
    rm -rf "$fresh"
    kept="$kept $(referenced "$repository") repomd.xml"
    for file in "$repository"/repodata/*; do
        grep -qw -- "${file##*/}" <<<"$kept" || rm -f "$file"
    done
}
