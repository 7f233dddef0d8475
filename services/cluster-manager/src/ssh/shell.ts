import { randomBytes } from 'node:crypto'
import { PassThrough } from 'node:stream'
import type { HostConnection } from './connect.js'
import { HostProblem } from './problem.js'

export interface ShellRun {
  onLine: (line: string) => void
  /** Aborted, it takes the shell with it. */
  signal: AbortSignal
}

/** One shell on a host, which is sent one request after the other: a login shell, a program and a channel for each would cost the host more than most requests. */
export interface HostShell {
  /**
   * Sends a request, which the program in the shell reads as data, and answers the exit status of what came of it, or that of the
   * shell where it ended. Never two at the same time. Rejects with a HostProblem where the connection breaks or the run is given up.
   */
  run(request: string, options: ShellRun): Promise<number>
  isOpen(): boolean
}

/**
 * `line` starts a shell that does what comes on its standard input: `program`, a text of our own, for which `$mark` is set. It says
 * `<mark>ready` on a line, and of each request on a line of its own `<mark><exit status>`. Nothing is sent before it is ready, because
 * a shell may take in more of its input than what it does.
 */
export function openShell(connection: HostConnection, line: string, program: string): HostShell {
  // Nothing that runs there knows it.
  const mark = `fleetgate ${randomBytes(12).toString('hex')} `
  const input = new PassThrough()
  const closing = new AbortController()
  let isEnded = false
  let now: { onLine: (line: string) => void; done: (code: number) => void } | undefined
  let isReady = () => {}
  const ready = new Promise<void>((resolve) => {
    isReady = resolve
  })
  const ended = connection.exec(line, {
    input,
    signal: closing.signal,
    onLine(said) {
      if (said === `${mark}ready`) isReady()
      else if (said.startsWith(mark)) now?.done(Number(said.slice(mark.length)))
      else if (said !== '') now?.onLine(said)
    }
  })
  ended
    .finally(() => {
      isEnded = true
    })
    .catch(() => undefined)
  input.write(`mark='${mark}'\n${program}`)

  return {
    run(request, { onLine, signal }) {
      let close = () => {}
      return new Promise<number>((resolve, reject) => {
        // A server says that a channel is closed only when what runs there has ended, which may be long after.
        close = () => {
          isEnded = true
          closing.abort()
          reject(new HostProblem('lost', 'the run was given up'))
        }
        if (signal.aborted) return close()
        signal.addEventListener('abort', close, { once: true })
        now = { onLine, done: resolve }
        ended.then(({ code }) => resolve(code), reject)
        void ready.then(() => input.write(request))
      }).finally(() => {
        now = undefined
        signal.removeEventListener('abort', close)
      })
    },
    isOpen: () => !isEnded && connection.isOpen()
  }
}
