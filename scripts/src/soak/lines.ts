import type { Log } from '@fleetgate/contracts'

/** What the processes say that a person would have to act on, and how they died. */
export interface Lines {
  hear(name: string, line: string): void
  /** For the stack, which tells by it who died of what. */
  log: Log
  findings(): string[]
}

interface Line {
  level?: string
  msg?: string
  code?: string
  err?: { type?: string; message?: string; stack?: string }
}

/** The engine and NATS write in their own way. */
const strangers = ['engine', 'nats']
/** Of requests that failed because another part was away. */
const knownReasons = ['unavailable', 'timeout']
const nothing = () => {}

export function createLines(write: (name: string, line: string) => void): Lines {
  const found = new Map<string, { times: number; example: string }>()

  function note(what: string, example: string): void {
    const known = found.get(what)
    if (known) known.times += 1
    else found.set(what, { times: 1, example })
  }

  return {
    hear(name, line) {
      write(name, line)
      const service = name.replace(/-\d+$/, '')
      if (strangers.includes(service)) return
      const parsed = parse(line)
      if (!parsed) return note(`${service} writes what is no log line`, line)
      if (parsed.level !== 'error' && parsed.level !== 'fatal') return
      if (knownReasons.includes(parsed.code ?? '')) return
      note(`${service} logs ${parsed.level}: ${parsed.msg}: ${parsed.err?.message ?? ''}`, line.slice(0, 3000))
    },
    log: {
      debug: nothing,
      info: nothing,
      error: nothing,
      warn: (fields, message) => {
        const { process, reason } = fields as { process?: string; reason?: string }
        if (process && reason !== 'ended by SIGKILL') note(`${process}: ${message}: ${reason}`, '')
      }
    },
    findings: () => [...found].map(([what, { times, example }]) => `${what} (${times} times)\n      ${example}`)
  }
}

function parse(line: string): Line | undefined {
  try {
    return JSON.parse(line) as Line
  } catch {
    return undefined
  }
}
