import { askData } from '../api.js'
import { Button, Field, useForm } from '../ui/form.js'
import { useData } from '../ui/useData.js'
import { signedIn } from './session.js'

/** Log-in, or on a new installation the first user, who becomes its administrator. */
export function SignIn() {
  const { data } = useData<{ data: { init: boolean } }>('/user/status')
  const isNew = data?.data.init === false
  const form = useForm(async ({ name = '', password = '', nickname = '' }) => {
    if (isNew) await askData('/user/register', { method: 'POST', body: { email: name, password, nickname } })
    const { id } = await askData<{ id: string }>('/v1/user/login', {
      method: 'POST',
      body: { username: name, password }
    })
    signedIn(id)
  })
  return (
    <main class="sign-in">
      <form {...form.props}>
        <h1>Fleetgate</h1>
        {isNew && <p>Nobody is registered yet. The first user administers everything.</p>}
        <Field
          name="name"
          label={isNew ? 'E-mail address' : 'Name or e-mail address'}
          required
          autocomplete="username"
        />
        {isNew && <Field name="nickname" label="Name" required autocomplete="nickname" />}
        <Field
          name="password"
          label="Password"
          type="password"
          required
          minLength={isNew ? 8 : undefined}
          autocomplete={isNew ? 'new-password' : 'current-password'}
        />
        <Button form={form}>{isNew ? 'Register' : 'Sign in'}</Button>
      </form>
    </main>
  )
}
