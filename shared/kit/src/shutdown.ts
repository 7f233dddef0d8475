import type { Log } from '@fleetgate/contracts'

type Close = () => Promise<unknown> | unknown

export interface Shutdown {
  /** Closed in reverse order of being added: add the http server last. */
  add(name: string, close: Close): void
  /** Closes everything, once, and ends the process: 0, or 1 when something failed or took too long. */
  run(reason: string): Promise<void>
}

export interface ShutdownOptions {
  limitMs?: number
  /** For tests: where signals come from and how the process ends. */
  signals?: Pick<NodeJS.EventEmitter, 'on'>
  exit?: (code: number) => void
}

/** Ends the process in order on SIGTERM and SIGINT; a second signal ends it at once. */
export function createShutdown(log: Log, options: ShutdownOptions = {}): Shutdown {
  const { limitMs = 10_000, signals = process, exit = process.exit } = options
  const parts: { name: string; close: Close }[] = []
  let running: Promise<void> | undefined

  async function closeAll(): Promise<boolean> {
    let clean = true
    for (let part = parts.pop(); part; part = parts.pop()) {
      try {
        await part.close()
      } catch (err) {
        clean = false
        log.error({ part: part.name, err }, 'part did not close')
      }
    }
    return clean
  }

  async function end(reason: string, code: number): Promise<void> {
    log.info({ reason }, 'shutting down')
    const limit = setTimeout(() => {
      log.error({ limitMs }, 'shutdown took too long')
      exit(1)
    }, limitMs)
    const clean = await closeAll()
    clearTimeout(limit)
    log.info({ reason }, 'shut down')
    exit(clean ? code : 1)
  }

  function run(reason: string, code = 0): Promise<void> {
    running ??= end(reason, code)
    return running
  }

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    signals.on(signal, () => (running ? exit(1) : void run(signal)))
  }
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    signals.on(event, (err: unknown) => {
      log.error({ err }, event)
      void run(event, 1)
    })
  }
  return { add: (name, close) => void parts.push({ name, close }), run: (reason) => run(reason) }
}
