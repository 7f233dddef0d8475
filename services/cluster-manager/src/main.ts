import { createLog, createShutdown, loadConfig } from '@fleetgate/kit'
import { Config } from './config.js'
import { startClusterManager } from './start.js'

const config = loadConfig(Config, process.env)
const log = createLog('cluster-manager', config.LOG_LEVEL)
const shutdown = createShutdown(log)
const { port } = await startClusterManager({ config, log, add: shutdown.add })
log.info({ port }, 'listening')
