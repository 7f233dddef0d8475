import { createLog, createShutdown, loadConfig } from '@fleetgate/kit'
import { Config } from './config.js'
import { startDevices } from './start.js'

const config = loadConfig(Config, process.env)
const log = createLog('devices', config.LOG_LEVEL)
const shutdown = createShutdown(log)
const { port } = await startDevices({ config, log, add: shutdown.add })
log.info({ port }, 'listening')
