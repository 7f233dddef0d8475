import { Counter, Gauge, type Metrics } from '@fleetgate/kit'

export interface BrokerMetrics {
  uplinkStored(): void
  publishDenied(): void
  blockServed(): void
  blockCast(): void
  commandsDelivered(count: number): void
}

export function createBrokerMetrics({ registry }: Metrics, connected: () => number): BrokerMetrics {
  const registers = [registry]
  new Gauge({
    name: 'mqtt_connected_clients',
    help: 'MQTT clients connected to this process',
    registers,
    collect() {
      this.set(connected())
    }
  })
  const stored = new Counter({
    name: 'mqtt_uplink_stored_total',
    help: 'Messages stored in the uplink stream',
    registers
  })
  const denied = new Counter({
    name: 'mqtt_publish_denied_total',
    help: 'Messages refused for lack of permission',
    registers
  })
  const blocks = new Counter({ name: 'file_blocks_served_total', help: 'File blocks sent to clients', registers })
  const cast = new Counter({
    name: 'file_blocks_cast_total',
    help: 'File blocks sent to the members of a cast',
    registers
  })
  const commands = new Counter({
    name: 'mqtt_commands_delivered_total',
    help: 'Commands sent to connected clients',
    registers
  })

  return {
    uplinkStored: () => stored.inc(),
    publishDenied: () => denied.inc(),
    blockServed: () => blocks.inc(),
    blockCast: () => cast.inc(),
    commandsDelivered: (count) => commands.inc(count)
  }
}
