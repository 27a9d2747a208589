#!/usr/bin/env bash
# A table for a ticket: which models run on which devices, how many at once, how fast, started how.
#   bash fits.sh [CONTEXT]       needs jq
set -euo pipefail
context=${1:-16k}
models=(qwen3-8b qwen3-32b gpt-oss-120b)
gpus=(l4 l40s h100-sxm)

echo "| model | device | format | at once | TPOT | start or why not |"
echo "|---|---|---|---|---|---|"
for model in "${models[@]}"; do
    for gpu in "${gpus[@]}"; do
        # 0: something fits; 1: nothing does, which is an answer too; else the request is wrong
        answer=$(llmplan fit "$model" --gpu "$gpu" --context "$context" --json) || [ $? -eq 1 ] || {
            jq -r '.error | "\(.message) \(.hint)"' <<<"$answer" >&2
            exit 2
        }
        jq -r --arg model "$model" --arg gpu "$gpu" '
            (.setups[0] // .requested) as $s
            | (if $s.fits then $s.kv_cache.max_concurrency * 10 | floor / 10 else "none" end) as $many
            | ($s.performance.tpot_s.value // null) as $tpot
            | (if $s.fits and $tpot then "\($tpot * 1000 | round) ms" else "" end) as $speed
            | (if $s.fits then "`\($s.launch.command)`"
               else "\($s.reason) \($s.remedies[0] // "")" end) as $how
            | "| \($model) | \($gpu) | \($s.weight_format) | \($many) | \($speed) | \($how) |"
        ' <<<"$answer"
    done
done
