#!/usr/bin/env bash
# Checks deploy/docker without Docker: the linter, the program that the image runs, and that what is copied into the
# build is enough for it. hadolint comes from requirements.txt.
#
#     deploy/verify/container.sh HADOLINT target/debug/millpond
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
HADOLINT=$1
MILLPOND=$2
DOCKERFILE=deploy/docker/Dockerfile

"$HADOLINT" --failure-threshold style "$DOCKERFILE"

# distroless/cc has glibc, libgcc and no other library.
readelf --dynamic "$MILLPOND" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | while read -r library; do
    case $library in
        libc.so.6 | libm.so.6 | libgcc_s.so.1 | ld-linux-*) ;;
        *)
            echo "$MILLPOND needs $library, which the image lacks"
            exit 1
            ;;
    esac
done

CONTEXT=$(mktemp -d)
trap 'rm -rf "$CONTEXT"' EXIT
sed -n 's/^COPY \([^-].*\) [^ ]*$/\1/p' "$DOCKERFILE" | tr ' ' '\n' | xargs cp --recursive --parents --target-directory="$CONTEXT"
# Dependencies are those that are built already; a check of the program itself takes seconds.
CARGO_TARGET_DIR=$PWD/target cargo check --quiet --locked --bin millpond --manifest-path "$CONTEXT/Cargo.toml"
echo "the Dockerfile has no fault, and $(find "$CONTEXT" -type f | wc -l) files are enough to build the program"
