import type { Reply, Session } from '@fleetgate/testkit'

export interface Ask {
  method: 'get' | 'post' | 'put' | 'delete'
  path: string
  body?: unknown
  headers?: Record<string, string>
}

/** Asks through the gateway while parts of the product are away, and keeps what no part that is away explains. */
export interface Asker {
  /** The answer where it is a success, else nothing: the product is away, or the answer is a finding. */
  ask<T>(ask: Ask): Promise<Reply<T> | undefined>
  counts(): { asked: number; away: number; slowestMs: number }
  findings(): string[]
}

const hangsAfterTicks = 30
/** "Not now", as the gateway and the services say it. */
const away = [502, 503, 504]

export function createAsker(session: Session): Asker {
  const findings = new Set<string>()
  const counts = { asked: 0, away: 0, slowestMs: 0 }

  async function answerTo<T>({ method, path, body, headers = {} }: Ask): Promise<Reply<T>> {
    return method === 'get' ? session.get<T>(path, headers) : session[method]<T>(path, body, headers)
  }

  return {
    async ask<T>(ask: Ask) {
      const what = `${ask.method.toUpperCase()} ${ask.path.replaceAll(/[0-9a-f]{8,}|\d+/g, '…')}`
      const begun = performance.now()
      const timer = afterTicks(hangsAfterTicks, () => findings.add(`${what} hangs for more than ${hangsAfterTicks} s`))
      counts.asked += 1
      try {
        const reply = await answerTo<T>(ask)
        if (reply.status < 300) return reply
        if (away.includes(reply.status)) counts.away += 1
        else findings.add(`${what}: HTTP ${reply.status} ${reply.text.slice(0, 300)}`)
      } catch {
        // No connection, or one that ended before the answer: the gateway was killed.
        counts.away += 1
      } finally {
        clearInterval(timer)
        counts.slowestMs = Math.max(counts.slowestMs, Math.round(performance.now() - begun))
      }
      return undefined
    },
    counts: () => ({ ...counts }),
    findings: () => [...findings]
  }
}

/** Seconds in which this process had its turn: on a machine that has no time for us, nobody hangs. */
function afterTicks(ticks: number, tell: () => void): NodeJS.Timeout {
  let left = ticks
  return setInterval(() => {
    left -= 1
    if (left === 0) tell()
  }, 1_000)
}
