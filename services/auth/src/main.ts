import { createLog, createShutdown, loadConfig } from '@fleetgate/kit'
import { Config } from './config.js'
import { startAuth } from './start.js'

const config = loadConfig(Config, process.env)
const log = createLog('auth', config.LOG_LEVEL)
const shutdown = createShutdown(log)
const { port } = await startAuth({ config, log, add: shutdown.add })
log.info({ port }, 'listening')
