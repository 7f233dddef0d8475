import type { Script } from '../profiles/profile.js'
import { HostProblem } from '../ssh/problem.js'

/** How a script reads another one. */
const includes = /\. "\$here\/(\w+)\.sh"/g
/** Those that run the others. */
const frame = ['lib.sh', 'run.sh', 'work.sh']

/**
 * What a host's shell reads once, the same for every host and cluster: `run.sh`, which takes requests, with `lib.sh` and all other
 * scripts, each a function, as the text `$common`, and `work.sh` as `$work`. On a small host each program started, and each file
 * made, costs more than what the scripts do: this needs none but the shell.
 */
export function programOf(scripts: readonly Script[]): string {
  const contents = new Map(scripts.map(({ name, content }) => [name, content]))
  const [lib = '', run = '', work = ''] = frame.map((name) => contents.get(name))
  const functions = scripts
    .filter(({ name }) => !frame.includes(name))
    .map(({ name, content }) => {
      const body = content.replace(includes, (_, other: string) => functionOf(other))
      return `${functionOf(name)}() {\n${body.trimEnd()}\n}\n`
    })
  return `common=${quoted([lib, ...functions].join(''))}\nwork=${quoted(work)}\n${run}`
}

function functionOf(name: string): string {
  return `script_${name.replace(/\.sh$/, '')}`
}

/** A word of the shell that means this text of ours, whatever is in it (POSIX.1-2017, Shell Command Language, 2.2.2). */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}

/**
 * Values as `readValues` of `lib.sh` takes them: lines `key=text`, with `+` before each further line of a text. What users wrote is
 * nowhere else, and no shell ever reads it as commands. Throws a HostProblem for what no shell can keep.
 */
export function valuesText(values: Record<string, string>): string {
  const lines = Object.entries(values).map(([key, text]) => {
    if (text.includes('\0')) throw new HostProblem('refused', `the value of ${key} has a character of the value 0`)
    return `${key.replace(/\W/g, '_')}=${text.replaceAll('\n', '\n+')}\n`
  })
  return lines.join('')
}
