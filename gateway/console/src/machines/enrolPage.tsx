import { useState } from 'preact/hooks'
import { ask } from '../api.js'
import { Button, Field, Select, useForm } from '../ui/form.js'
import { Page, Section } from '../ui/page.js'
import { base } from '../ui/place.js'
import { useData } from '../ui/useData.js'

const day = 86_400

/** A token by which machines come under control; it is shown this once. */
export function EnrolPage() {
  const [token, setToken] = useState<string>()
  const groups = useData<{ list: { groupId: number; groupName: string }[] }>('/v1/groups?type=0&pageSize=500')
  const form = useForm(async ({ uses, days, role, groupId, name }) => {
    const groupIds = groupId ? [Number(groupId)] : undefined
    const body = {
      name: name || undefined,
      uses: Number(uses),
      expiresIn: Number(days) * day,
      role: role || undefined,
      groupIds
    }
    setToken((await ask<{ token: string }>('/v1/clients/enrolments', { method: 'POST', body })).token)
  })
  const choices = groups.data?.list.map(({ groupId, groupName }) => [String(groupId), groupName] as const) ?? []
  return (
    <Page title="Add machines" actions={<a href={`${base}/machines`}>All machines</a>}>
      {token ? (
        <Token token={token} />
      ) : (
        <form class="card" {...form.props}>
          <Field name="name" label="What it is for" maxLength={128} />
          <Field
            name="uses"
            label="For how many machines"
            type="number"
            min={1}
            max={10_000}
            defaultValue={1}
            required
          />
          <Field name="days" label="Good for how many days" type="number" min={1} max={365} defaultValue={1} required />
          <Select
            name="role"
            label="Role"
            options={[
              ['', 'what the machine says'],
              ['STORE', 'store'],
              ['SERVER', 'server']
            ]}
          />
          <Select name="groupId" label="Joins the group" options={[['', 'none'], ...choices]} />
          <Button form={form}>Make a token</Button>
        </form>
      )}
    </Page>
  )
}

function Token({ token }: { token: string }) {
  return (
    <Section title="The token, shown this once">
      <pre>{token}</pre>
      <p>Put it into a file named token on the machine, beside the bundled agent and its installer, and run there:</p>
      <pre>{`sudo ./install.sh --url ${location.origin} --token-file token --root /srv/till --program /srv/till/bin`}</pre>
    </Section>
  )
}
