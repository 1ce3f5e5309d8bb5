#!/usr/bin/env bash
# tag_module.sh VERSION: after make release, makes the tag go/VERSION, by which Go finds the module in this repository. Its commit
# follows the released one and has what the module in dist/ has, the finished libraries, too. Whoever pushes the tag has
# published it. Neither a branch nor the working tree changes.
set -euo pipefail
# shellcheck source=tests/scripts/tools.sh
source "$(dirname "${BASH_SOURCE[0]}")/tools.sh"
require_tools
cd "$root"
version=${1:-}
zip=$root/dist/proxy/$module/@v/$version.zip
[ -f "$zip" ] || die "there is no module of \"$version\" in dist/: run make release VERSION=$version"
! git rev-parse --quiet --verify "refs/tags/go/$version" >/dev/null || die "the tag go/$version is there already"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

go -C tests/release run . unzip "$module" "$version" "$zip" "$work/go"
export GIT_INDEX_FILE=$work/index
git read-tree HEAD
git rm -r --quiet --cached go
git --work-tree="$work" add --force go
commit=$(git commit-tree "$(git write-tree)" -p HEAD -m "Add the finished libraries of $version to the module")
changed=$(git diff --diff-filter=M --name-only HEAD "$commit")
[ -z "$changed" ] || die "dist/ is of another commit, which has another $(head -n 1 <<<"$changed"): run make release again"
git tag "go/$version" "$commit"
echo "go/$version is $commit. To publish it: git push origin go/$version"
