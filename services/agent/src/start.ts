import { pino } from 'pino'
import { startAgent } from './agent.js'
import { loadConfig } from './config.js'
import { createConnection } from './connection.js'
import { startHeartbeat } from './heartbeat.js'
import { openLogFile } from './logFile.js'

/** On Windows Ctrl-C, Ctrl-Break, and a console that is closed; who ends the process there asks nobody. */
const signals = process.platform === 'win32' ? ['SIGINT', 'SIGBREAK', 'SIGHUP'] : ['SIGTERM', 'SIGINT']

/** Reads the configuration and runs the agent until a signal ends it. */
export async function start(file: string | undefined): Promise<void> {
  const config = loadConfig(process.env, file)
  const destination = config.logFile ? openLogFile(config.logFile) : process.stdout
  const log = pino({ name: 'agent', level: config.logLevel }, destination)
  const connection = createConnection({ mqtt: config.mqtt, clientId: config.clientId, log })
  const agent = await startAgent({ config, connection, now: Date.now, log })
  const { clientId, role, roots, programs, heartbeatFile } = config
  if (heartbeatFile) startHeartbeat({ file: heartbeatFile, connection, now: Date.now, log })
  log.info({ clientId, role, roots, programs }, 'agent started')

  let isStopping = false
  const stop = async (signal: string) => {
    if (isStopping) return
    isStopping = true
    log.info({ signal }, 'agent stops')
    setTimeout(() => process.exit(1), 10_000).unref()
    await agent.stop()
    process.exit(0)
  }
  for (const signal of signals) process.on(signal, () => void stop(signal))
}
