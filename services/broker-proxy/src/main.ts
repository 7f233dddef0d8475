import { createLog, createShutdown, loadConfig } from '@fleetgate/kit'
import { Config } from './config.js'
import { startBrokerProxy } from './start.js'

const config = loadConfig(Config, process.env)
const log = createLog('broker-proxy', config.LOG_LEVEL)
const shutdown = createShutdown(log)
const { port, mqttPort } = await startBrokerProxy({ config, log, add: shutdown.add })
log.info({ port, mqttPort }, 'listening')
