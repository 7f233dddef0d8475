import { spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { until } from '../until.js'
import { command } from './commands.js'

/** A switch with a cable to this machine. It vanishes with the process that holds its namespace. */
export interface Network {
  /** This machine's own. */
  readonly ownAddress: string
  addressOf(index: number): string
  /** Plugs the host whose process 1 is this into the switch. */
  join(index: number, pid: number): Promise<void>
  close(): Promise<void>
}

/** Everything is in a namespace of its own but one end of one cable; addresses are 10.x, free on this machine by chance and by look. */
export async function startNetwork(): Promise<Network> {
  const subnet = await freeSubnet()
  // Ends when its input does: with this process, however that ends.
  const hub = spawn('unshare', ['--net', 'cat'], { stdio: ['pipe', 'ignore', 'ignore'] })
  const pid = String(hub.pid)
  const cable = `fg${subnet.replaceAll('.', '')}`
  await until(() => isOther(pid), { what: 'the namespace of the switch' })
  await command('ip', ['link', 'add', cable, 'type', 'veth', 'peer', 'name', 'uplink', 'netns', pid])
  await command('ip', ['addr', 'add', `${subnet}.1/24`, 'dev', cable])
  await command('ip', ['link', 'set', cable, 'up'])
  const inHub = (lines: string[]) => command('nsenter', ['-t', pid, '-n', 'ip', '-batch', '-'], `${lines.join('\n')}\n`)
  await inHub([
    'link add switch type bridge',
    'link set switch up',
    'link set uplink master switch',
    'link set uplink up'
  ])
  let plugs = 0

  return {
    ownAddress: `${subnet}.1`,
    addressOf: (index) => `${subnet}.${10 + index}`,
    async join(index, host) {
      plugs += 1
      const plug = `p${plugs}`
      await inHub([
        // The same hardware address after each start: the neighbours remember it.
        `link add ${plug} type veth peer name eth0 address ${hardwareAddress(index)} netns ${host}`,
        `link set ${plug} master switch`,
        `link set ${plug} up`
      ])
      const lines = [
        'link set lo up',
        `addr add ${subnet}.${10 + index}/24 dev eth0`,
        'link set eth0 up',
        `route add default via ${subnet}.1`
      ]
      await command('nsenter', ['-t', String(host), '-n', 'ip', '-batch', '-'], `${lines.join('\n')}\n`)
    },
    async close() {
      const ended = new Promise((resolve) => hub.once('close', resolve))
      hub.kill('SIGKILL')
      await ended
    }
  }
}

function hardwareAddress(index: number): string {
  return `02:00:00:00:00:${(10 + index).toString(16).padStart(2, '0')}`
}

async function freeSubnet(): Promise<string> {
  const taken = await command('ip', ['-o', 'addr'])
  for (;;) {
    const subnet = `10.${randomInt(100, 250)}.${randomInt(0, 256)}`
    if (!taken.includes(` ${subnet}.`)) return subnet
  }
}

/** Until `unshare` has done its work the process is still in our own namespace. */
async function isOther(pid: string): Promise<boolean> {
  const [own, other] = await Promise.all(['self', pid].map((of) => command('readlink', [`/proc/${of}/ns/net`])))
  return own !== other
}
