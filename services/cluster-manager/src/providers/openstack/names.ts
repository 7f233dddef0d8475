import { type Call, CloudProblem } from '../driver.js'
import type { OpenstackClient } from './openstackClient.js'

interface Named {
  id: string
  name?: string
}

interface Network extends Named {
  'router:external'?: boolean
  shared?: boolean
}

/** Names, or ids, as the settings have them, to ids; looked up once for each client. */
export function createNames(client: OpenstackClient) {
  const known = new Map<string, Promise<string>>()

  function once(what: string, name: string, find: () => Promise<Named[]>): Promise<string> {
    const key = `${what}/${name}`
    const looking = known.get(key) ?? find().then((found) => one(what, name, found))
    known.set(key, looking)
    looking.catch(() => known.delete(key))
    return looking
  }

  const query = (name: string) => encodeURIComponent(name)

  async function networks(name: string, call: Call): Promise<Network[]> {
    const byName = await client.all<Network>('network', `/networks?name=${query(name)}`, 'networks', call)
    return byName.length > 0 ? byName : client.all<Network>('network', `/networks?id=${query(name)}`, 'networks', call)
  }

  return {
    /** Nova has no filter for names of flavors: where none fits, all are known. */
    flavor: (name: string, call: Call) =>
      once('flavor', name, () => client.all<Named>('compute', '/flavors', 'flavors', call)),
    image: (name: string, call: Call) =>
      once('image', name, async () => {
        const byName = await client.all<Named>('image', `/images?status=active&name=${query(name)}`, 'images', call)
        if (byName.length > 0) return byName
        const { status, body } = await client.ask('image', `/images/${query(name)}`, call, { allow: [400, 404] })
        return status === 200 ? [body as unknown as Named] : []
      }),
    network: (name: string, call: Call) => once('network', name, () => networks(name, call)),
    /** The outer networks are those that floating addresses come from. */
    pool: (name: string, call: Call) =>
      once('outer network', name, async () =>
        (await networks(name, call)).filter((network) => network['router:external'] === true)
      ),

    /** Without a name Nova takes the only network that there is. */
    async onlyNetwork(call: Call): Promise<void> {
      const all = await client.all<Network>('network', '/networks', 'networks', call)
      const { length } = all.filter((network) => network['router:external'] !== true || network.shared === true)
      if (length === 1) return
      const many = length === 0 ? 'no network' : 'several networks'
      throw new CloudProblem('invalid', `OpenStack has ${many} for machines: name one in openstack-network`)
    }
  }
}

export type Names = ReturnType<typeof createNames>

function one(what: string, name: string, found: Named[]): string {
  const chosen = found.find((each) => each.name === name) ?? found.find(({ id }) => id === name)
  if (chosen) return chosen.id
  const others = found.flatMap((each) => each.name ?? []).sort()
  const told = others.length > 0 ? `: there are ${others.slice(0, 20).join(', ')}` : ''
  throw new CloudProblem('invalid', `OpenStack has no ${what} "${name}"${told}`.slice(0, 500))
}
