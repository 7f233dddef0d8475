import { useLocation } from 'preact-iso/router'
import { ApiError, askData } from '../api.js'
import { Button, Field, Lines, Select, useForm } from '../ui/form.js'
import { Page, Section } from '../ui/page.js'
import { base } from '../ui/place.js'

/** Hosts that are there already become a cluster. */
export function NewClusterPage() {
  const { route } = useLocation()
  const form = useForm(async (fields) => {
    const { name, profile, createCategory, masters, shared, workers, ...login } = fields
    const nodes = {
      masterNodes: nodesOf(masters, login),
      sharedNodes: nodesOf(shared, login),
      pureslaveNodes: nodesOf(workers, login)
    }
    const body = { name, profile, createCategory, type: 'customized', ...nodes }
    const { _id } = await askData<{ _id: string }>('/v1/cluster', { method: 'POST', body })
    route(`${base}/clusters/${_id}`)
  })
  return (
    <Page title="New cluster">
      <form {...form.props}>
        <Section title="What">
          <Field name="name" label="Name" hint="letters, digits, - and _, up to 15" required maxLength={15} />
          <Select name="profile" label="What is installed" options={profiles} />
          <Select name="createCategory" label="Size" options={categories} />
        </Section>
        <Section title="Hosts, one address in a line, with :port where it is not 22">
          <Lines name="masters" label="Masters" required />
          <Lines name="shared" label="Shared hosts, which others may reach" />
          <Lines name="workers" label="Workers" />
        </Section>
        <Section title="How we get in">
          <Field
            name="sshUser"
            label="User"
            hint="root, or one who may use sudo without a password"
            defaultValue="root"
            required
          />
          <Lines name="privateKey" label="Private key (PEM or OpenSSH)" />
          <Field name="passphrase" label="Its passphrase" type="password" autocomplete="off" />
          <Field name="password" label="or a password" type="password" autocomplete="off" />
        </Section>
        <Button form={form}>Create</Button>
      </form>
    </Page>
  )
}

const profiles = [
  ['nats', 'NATS with JetStream and MQTT'],
  ['k3s', 'Kubernetes (k3s)']
] as const
const categories = [
  ['compact', 'compact: one master'],
  ['ha', 'ha: three or five masters']
] as const

function nodesOf(lines: string | undefined, login: Record<string, string>) {
  const given = Object.entries(login).filter(([, value]) => value !== '')
  const addresses = (lines ?? '').split(/\s+/).filter((line) => line !== '')
  return addresses.map((address) => ({ ...Object.fromEntries(given), ...placeOf(address) }))
}

function placeOf(address: string): { ip: string; sshPort?: number } {
  const [ip = '', port, ...rest] = address.split(':')
  if (rest.length > 0) throw new ApiError(0, `${address} is no IPv4 address with a port`)
  return port === undefined ? { ip } : { ip, sshPort: Number(port) }
}
