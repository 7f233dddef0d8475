import { readFileSync } from 'node:fs'
import { connectBus, createGuard, createLog, createShutdown, loadConfig } from '@fleetgate/kit'
import { openStore } from '@fleetgate/store'
import { createScheduler } from './app.js'
import { Config } from './config.js'

const config = loadConfig(Config, process.env)
const log = createLog('scheduler', config.LOG_LEVEL)
const shutdown = createShutdown(log)

const bus = await connectBus({ name: 'scheduler', url: config.NATS_URL, log })
shutdown.add('bus', () => bus.close())
const store = await openStore({ uri: config.MONGODB_URI, database: 'fleetgate_scheduler', log })
shutdown.add('store', () => store.close())
const guard = await createGuard({ bus, log })
shutdown.add('guard', () => guard.close())

const machineCa = config.MACHINE_CA_FILE ? readFileSync(config.MACHINE_CA_FILE, 'utf8') : undefined
const scheduler = createScheduler({ config, store, bus, guard, log, machineCa })
await store.sync()
await scheduler.start()
shutdown.add('scheduler', () => scheduler.stop())

const { port, close } = await scheduler.app.listen(config.PORT, config.HOST)
shutdown.add('http', () => close(config.DRAIN_MS))
log.info({ port }, 'listening')
