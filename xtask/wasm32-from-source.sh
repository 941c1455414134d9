#!/usr/bin/env bash
# Builds Rust's standard library for wasm32-unknown-unknown from Debian's package rust-src, for machines where
# `rustup target add` finds no server. Debian and its relatives only; the source must be of exactly rustc's version.
set -euo pipefail

target=wasm32-unknown-unknown
release=$(rustc -vV | sed -n 's/^release: //p')
library=$(rustc --print target-libdir --target $target)
suites="bookworm-backports trixie trixie-backports forky sid"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -vi security | grep -E '/debian/?$' | sort -u | head -1)
[ -n "$mirror" ] || { echo "apt's sources name no Debian mirror"; exit 1; }
mkdir -p "$work"/apt/{lists/partial,cache/archives/partial,parts}
apt=(-o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$work/apt/parts" -o Dir::State::Lists="$work/apt/lists"
     -o Dir::Cache="$work/apt/cache" -o Acquire::Languages=none -o APT::Sandbox::User=root)

version=
for suite in $suites; do
    printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n' \
        "$mirror" "$suite" > "$work/apt/parts/suite.sources"
    apt-get "${apt[@]}" update -qq || continue
    version=$(apt-cache "${apt[@]}" madison rust-src | awk -F'|' '{gsub(/ /,"",$2); print $2}' | grep -m1 "^${release//./\\.}[-+~]" || true)
    [ -z "$version" ] || break
done
[ -n "$version" ] || { echo "no suite of $suites has rust-src $release"; exit 1; }
echo "building from rust-src $version of $suite"

(cd "$work" && apt-get "${apt[@]}" download -qq "rust-src=$version")
mkdir -p "$work/source" "$work/empty/src" "$work/lib"
dpkg-deb --fsys-tarfile "$work"/rust-src_*.deb | tar -C "$work/source" -x --wildcards './usr/src/rustc-*/library'
: > "$work/empty/src/lib.rs"
printf '[package]\nname = "empty"\nversion = "0.0.0"\nedition = "2021"\n[profile.release]\ndebug = 0\n' > "$work/empty/Cargo.toml"
# Without bitcode every crate that is built with `lto = true` fails to link.
toolchain=$(rustup show active-toolchain | cut -d' ' -f1)
cd "$work/empty"
env RUSTFLAGS=-Cembed-bitcode=yes RUSTC_BOOTSTRAP=1 __CARGO_TESTS_ONLY_SRC_ROOT="$(echo "$work"/source/usr/src/rustc-*/library)" \
    CARGO_TARGET_DIR="$work/target" rustup run "$toolchain" cargo build -q --release --target $target \
    -Zbuild-std=core,alloc,std,proc_macro,test,panic_abort,panic_unwind
cp "$work/target/$target"/release/deps/*.rlib "$work/lib/"
rm -f "$work"/lib/libempty-*
mkdir -p "$(dirname "$library")"
rm -rf "$library"
mv "$work/lib" "$library"
